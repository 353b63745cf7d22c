import type { V2Cluster } from '../cluster/v2.js';
import type { NoteBook } from '../model/note.js';
import type { RunContext } from '../model/run.js';
import type { KeySelection } from '../model/source.js';
import { isUnder } from '../model/tree-path.js';
import { isSelected } from '../selection/select.js';

/**
 * Names of hidden nodes that programs are known to have used: etcd's discovery service and etcd 0.4
 * (`/_etcd/registry`, `/_etcd/machines`), fleet (`/_coreos.com/fleet`), the lock and leader modules of etcd 0.4.
 */
const KNOWN_NAMES = ['/_etcd', '/_coreos.com', '/_mod'].map((name) => Buffer.from(name));

/**
 * Asks one by one for hidden nodes whose names are known, and notes those that are there and chosen, but
 * not read.
 *
 * @param read paths that were read by themselves
 */
export async function noteHidden(
  cluster: V2Cluster,
  { selection, read }: { readonly selection: KeySelection; readonly read: readonly Buffer[] },
  notes: NoteBook,
  run: RunContext,
): Promise<void> {
  for (const name of KNOWN_NAMES) {
    if (!isSelected(name, selection) || read.some((path) => path.equals(name) || isUnder(path, name))) continue;
    if (!(await isThere(cluster, name, run))) continue;
    const message = 'hidden nodes that are there and were not read, with all under them (--include-hidden reads them)';
    notes.add('hidden-node-left-out', message, { lossy: true, example: name.toString() });
  }
}

/** What may not be asked for, or is not told, is not known to be there. */
async function isThere(cluster: V2Cluster, name: Buffer, run: RunContext): Promise<boolean> {
  try {
    return (await cluster.get(name, run.signal))?.path.equals(name) === true;
  } catch {
    run.signal.throwIfAborted();
    return false;
  }
}

/** A tree of which nothing was found is not known to be empty. */
export function noteNothingListed(notes: NoteBook, index: bigint): void {
  const message = `no node was found, though the store was written to up to index ${index}: hidden ones (a part of their path begins with _) are in no listing, and are read with --include-hidden only`;
  notes.add('hidden-not-listed', message);
}
