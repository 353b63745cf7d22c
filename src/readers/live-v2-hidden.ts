import type { V2Cluster } from '../cluster/v2.js';
import { readTree, type TreeRequest } from '../cluster/v2-read-tree.js';
import type { NoteBook } from '../model/note.js';
import type { RunContext } from '../model/run.js';
import type { KeySelection } from '../model/source.js';
import { isUnder } from '../model/tree-path.js';
import { isSelected } from '../selection/select.js';
import { keysOf } from '../wire/keyvalue.js';

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
  const isUnread = (name: Buffer): boolean => isSelected(name, selection) && !read.some((path) => path.equals(name) || isUnder(path, name));
  for await (const name of knownHidden(cluster, run, isUnread)) {
    const message = 'hidden nodes that are there and were not read, with all under them (--include-hidden reads them)';
    notes.add('hidden-node-left-out', message, { lossy: true, example: name.toString() });
  }
}

/** Of the names that are known those of hidden nodes that are there. */
async function* knownHidden(cluster: V2Cluster, run: RunContext, isWanted = (_name: Buffer): boolean => true): AsyncGenerator<Buffer> {
  for (const name of KNOWN_NAMES) if (isWanted(name) && (await isThere(cluster, name, run))) yield name;
}

/**
 * Paths near to prefixes that no node was found by: all in the nearest directory above each that has any, and known
 * hidden nodes.
 *
 * @throws FerryError `unauthorized` where that may not be read
 */
export async function* pathsNear(
  request: Pick<TreeRequest, 'cluster' | 'tmpDir' | 'now'>,
  prefixes: readonly Buffer[],
  run: RunContext,
): AsyncGenerator<Buffer> {
  for (const prefix of prefixes.length === 0 ? [Buffer.alloc(0)] : prefixes) {
    for (let slash = prefix.lastIndexOf('/'); ; slash = slash > 0 ? prefix.lastIndexOf('/', slash - 1) : -1) {
      const path = prefix.subarray(0, Math.max(slash, 0));
      let found = false;
      for await (const each of pathsIn({ ...request, path }, run)) {
        found = true;
        yield each;
      }
      if (found || path.length === 0) break;
    }
  }
  yield* knownHidden(request.cluster, run);
}

async function* pathsIn(request: Pick<TreeRequest, 'cluster' | 'tmpDir' | 'now' | 'path'>, run: RunContext): AsyncGenerator<Buffer> {
  const { spool } = await readTree({ ...request, isDirectory: true, selects: () => true }, run);
  try {
    for await (const batch of spool.batches()) yield* keysOf(batch);
  } finally {
    await spool.close();
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
