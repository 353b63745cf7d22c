import { FerryError } from '../errors.js';
import { openSource, type SourceRequest } from '../locations/source.js';
import type { RunContext } from '../model/run.js';
import type { SourceInfo } from '../model/source.js';
import { type Entry, entriesOf, shownRecords } from './entries.js';

export interface FoundValue {
  readonly source: SourceInfo;
  readonly entry: Entry;
}

/**
 * Looks one key up.
 *
 * @throws FerryError `not-found` when the source has no such key, and as the source does
 */
export async function getValue(request: SourceRequest, key: Buffer, run: RunContext): Promise<FoundValue> {
  const source = await openSource({ ...request, selection: { prefixes: [key], excludePrefixes: [] } }, run);
  try {
    for await (const batch of shownRecords(source)) {
      for (const entry of entriesOf(batch, source.info)) {
        if (entry.key.equals(key)) return { source: source.info, entry };
        // In key order a key stands before all that begin with it.
        if (source.info.order === 'key') throw missing(request, key);
      }
    }
    throw missing(request, key);
  } finally {
    await source.close();
  }
}

function missing(request: SourceRequest, key: Buffer): FerryError {
  return new FerryError('not-found', `${request.location.text} has no key ${key.toString()}`, {
    hint: 'List what is there with: etcdferry ls LOC PREFIX',
  });
}
