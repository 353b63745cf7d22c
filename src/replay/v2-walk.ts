import { batchOf, type RecordBatch } from '../model/batch.js';
import { encodeNode } from '../wire/node.js';
import type { V2Node } from './v2-node.js';

const BATCH_BYTES = 1 << 20;
const BATCH_RECORDS = 4096;

/** A directory being walked: its path, and which of its nodes is next. */
interface Level {
  readonly path: string;
  readonly nodes: readonly V2Node[];
  next: number;
}

/**
 * The nodes below a directory as records: parents before children, siblings by the bytes of their
 * names. Paths begin at that directory, which itself is no record.
 *
 * @param selects which nodes are wanted, by path
 */
export function* walkTree(top: V2Node, selects: (path: Buffer) => boolean): Generator<RecordBatch, void, undefined> {
  let records: Buffer[] = [];
  let bytes = 0;
  for (const { path, node } of inTreeOrder(top)) {
    const pathBytes = Buffer.from(path, 'latin1');
    if (!selects(pathBytes)) continue;
    const { value, createdIndex, modifiedIndex, expiration, children } = node;
    const record = encodeNode({ path: pathBytes, dir: children !== undefined, value, createdIndex, modifiedIndex, expiration });
    records.push(record);
    bytes += record.length;
    if (bytes < BATCH_BYTES && records.length < BATCH_RECORDS) continue;
    yield batchOf(records);
    records = [];
    bytes = 0;
  }
  if (records.length > 0) yield batchOf(records);
}

/** Nodes below a directory with their paths (latin-1, relative to it), in tree order; safe at any depth. */
export function* inTreeOrder(top: V2Node): Generator<{ readonly path: string; readonly node: V2Node }, void, undefined> {
  const levels = [levelOf('', top)];
  for (let level = levels.at(-1); level !== undefined; level = levels.at(-1)) {
    const node = level.nodes[level.next++];
    if (node === undefined) {
      levels.pop();
      continue;
    }
    const path = `${level.path}/${node.name}`;
    yield { path, node };
    if (node.children !== undefined && node.children.size > 0) levels.push(levelOf(path, node));
  }
}

function levelOf(path: string, { children }: V2Node): Level {
  // A latin-1 string's order is that of its bytes.
  const nodes = [...(children?.values() ?? [])].sort((a, b) => (a.name < b.name ? -1 : 1));
  return { path, nodes, next: 0 };
}
