import { batchOf, type RecordBatch } from '../model/batch.js';
import type { TreeNode } from '../model/node.js';
import type { KeySelection } from '../model/source.js';
import { compareTreePaths, isCleanPath, isHidden, isUnder } from '../model/tree-path.js';
import { startsWith } from '../selection/prefix.js';
import { isSelected, selectsAll } from '../selection/select.js';
import { keyOf } from '../wire/keyvalue.js';
import { decodeNode, encodeNode } from '../wire/node.js';

const SLASH = 0x2f;

/** A directory with a TTL that is not selected itself. */
interface Held {
  readonly path: Buffer;
  readonly bytes: Buffer;
  readonly start: number;
  readonly end: number;
}

/** Whether a path is that of a directory in which selected nodes may lie, though it is not selected itself. */
export function isAboveSelected(path: Buffer, { prefixes }: KeySelection): boolean {
  return prefixes.some((prefix) => prefix.length > path.length && prefix[path.length] === SLASH && startsWith(prefix, path));
}

/**
 * The directories that have all of what a selection chooses in them: the part of each prefix up to its last
 * slash. One under another is left out, unless it is hidden there: no listing shows it.
 *
 * @returns paths; an empty one for the root
 */
export function directoriesOf({ prefixes }: KeySelection): Buffer[] {
  const all = (prefixes.length === 0 ? [Buffer.alloc(0)] : prefixes).map(directoryOf).sort(compareTreePaths);
  const kept: Buffer[] = [];
  for (const path of all) if (!kept.some((above) => isListedUnder(path, above))) kept.push(path);
  return kept;
}

function directoryOf(prefix: Buffer): Buffer {
  const path = prefix.subarray(0, Math.max(0, prefix.lastIndexOf(SLASH)));
  return isCleanPath(path) ? path : prefix.subarray(0, 0);
}

function isListedUnder(path: Buffer, above: Buffer): boolean {
  return path.equals(above) || ((above.length === 0 || isUnder(path, above)) && !isHidden(path.subarray(above.length)));
}

/** The paths of all directories above what a selection chooses, from the root down; without the root. */
export function directoriesAboveSelected({ prefixes }: KeySelection): Buffer[] {
  const above = new Map<string, Buffer>();
  for (const prefix of prefixes) {
    for (let slash = prefix.indexOf(SLASH, 1); slash !== -1; slash = prefix.indexOf(SLASH, slash + 1)) {
      above.set(prefix.toString('latin1', 0, slash), prefix.subarray(0, slash));
    }
  }
  return [...above.values()];
}

/**
 * Drops the nodes of a tree whose path is not selected, but for directories with a TTL above those
 * that are: what is under them lives no longer than they do, and would become permanent without
 * them. Batches share the memory of those taken.
 */
export function selectNodes(batches: AsyncIterable<RecordBatch>, selection: KeySelection): AsyncIterable<RecordBatch> {
  return selectsAll(selection) ? batches : selectEach(batches, selection);
}

async function* selectEach(batches: AsyncIterable<RecordBatch>, selection: KeySelection): AsyncGenerator<RecordBatch> {
  let held: Held[] = [];
  for await (const batch of batches) {
    const starts = new Uint32Array(batch.count);
    const ends = new Uint32Array(batch.count);
    let count = 0;
    for (let i = 0; i < batch.count; i++) {
      const start = batch.starts[i] as number;
      const end = batch.ends[i] as number;
      const path = keyOf(batch.bytes, start, end);
      if (held.length > 0) held = held.filter((above) => isUnder(path, above.path));
      if (isSelected(path, selection)) {
        if (held.length > 0 && count > 0) {
          yield { bytes: batch.bytes, starts: starts.slice(0, count), ends: ends.slice(0, count), count };
          count = 0;
        }
        // They may be of an earlier batch.
        for (const { bytes, start: from, end: to } of held) {
          yield { bytes, starts: Uint32Array.of(from), ends: Uint32Array.of(to), count: 1 };
        }
        held = [];
        starts[count] = start;
        ends[count++] = end;
      } else if (isAboveSelected(path, selection) && isMortalDirectory(decodeNode(batch.bytes, start, end))) {
        held.push({ path, bytes: batch.bytes, start, end });
      }
    }
    if (count > 0) yield { bytes: batch.bytes, starts, ends, count };
  }
}

/**
 * The selected nodes alone, for whoever shows, compares or writes them: the expiration of a directory
 * above that is not selected is taken over by the topmost nodes under it. So nothing lives longer, and
 * nothing else is touched.
 *
 * @param batches nodes in tree order, with the directories that `selectNodes` takes along
 */
export function selectWithEnds(batches: AsyncIterable<RecordBatch>, selection: KeySelection): AsyncIterable<RecordBatch> {
  return selectsAll(selection) ? batches : inheritEach(batches, selection);
}

async function* inheritEach(batches: AsyncIterable<RecordBatch>, selection: KeySelection): AsyncGenerator<RecordBatch> {
  const inherited = new InheritedEnds();
  for await (const batch of batches) {
    const records: Buffer[] = [];
    for (let i = 0; i < batch.count; i++) {
      const [start, end] = [batch.starts[i] as number, batch.ends[i] as number];
      const path = keyOf(batch.bytes, start, end);
      if (!isSelected(path, selection)) {
        if (isAboveSelected(path, selection)) inherited.leave(decodeNode(batch.bytes, start, end));
      } else if (inherited.isEmpty) records.push(batch.bytes.subarray(start, end));
      else records.push(encodeNode(inherited.give(decodeNode(batch.bytes, start, end))));
    }
    if (records.length > 0) yield batchOf(records);
  }
}

function isMortalDirectory({ dir, expiration }: TreeNode): boolean {
  return dir && expiration !== 0n;
}

/**
 * Expirations of directories that are not carried over themselves, and are given to what lies under
 * them instead. Nodes are to come in tree order.
 */
export class InheritedEnds {
  #left: { readonly path: Buffer; readonly expiration: bigint }[] = [];
  /** The last directory that was given an expiration: what is under it ends with it. */
  #given: Buffer | undefined;

  /** No directory that was left is known; then `give` changes nothing. */
  get isEmpty(): boolean {
    return this.#left.length === 0;
  }

  /** A node that is not carried over as it is: what is under it is not to live longer than it would have. */
  leave(node: TreeNode): void {
    // One that was given an end, and is not carried over after all, hands it on.
    if (this.#given?.equals(node.path)) this.#given = undefined;
    if (isMortalDirectory(node)) this.#left.push({ path: Buffer.from(node.path), expiration: node.expiration });
  }

  /** The node with the end that it has by the directories above it that were left. */
  give(node: TreeNode): TreeNode {
    this.#left = this.#left.filter(({ path }) => isUnder(node.path, path));
    if (this.#given !== undefined && isUnder(node.path, this.#given)) return node;
    const expiration = this.#left.reduce((end, left) => earlierEnd(end, left.expiration), node.expiration);
    this.#given = node.dir && this.#left.length > 0 ? node.path : undefined;
    return expiration === node.expiration ? node : { ...node, expiration };
  }
}

/** The earlier of two expirations, where 0n is never. */
export function earlierEnd(a: bigint, b: bigint): bigint {
  if (a === 0n || b === 0n) return a === 0n ? b : a;
  return a < b ? a : b;
}
