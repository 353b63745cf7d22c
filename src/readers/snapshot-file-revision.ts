import { FerryError } from '../errors.js';
import type { BackendView } from '../wire/backend.js';

/**
 * The revision to read at, as a server with this file would answer.
 *
 * @param wanted the latest when undefined or 0n
 * @param compacted revisions below it cannot be read
 * @throws FerryError `compacted`, `future-revision`
 */
export function chosenRevision(backend: BackendView, wanted: bigint | undefined, compacted: bigint): bigint {
  if (wanted === undefined || wanted === 0n) return backend.revision;
  const { name } = backend.bolt.source;
  if (wanted > backend.revision) {
    throw new FerryError('future-revision', `${name}: revision ${wanted} was asked for, and ${backend.revision} is the latest in it`, {
      hint: 'Ask for an earlier revision, or for none.',
    });
  }
  if (wanted < compacted) {
    throw new FerryError('compacted', `${name}: revision ${wanted} was asked for, and all before ${compacted} are compacted`, {
      hint: 'Ask for a later revision, or for none.',
    });
  }
  return wanted;
}
