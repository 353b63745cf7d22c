import type { RecordBatch } from '../model/batch.js';
import { nodeLength, writeNode } from '../wire/node.js';
import type { V2Node } from './v2-node.js';

const BATCH_BYTES = 256 * 1024;
const BATCH_RECORDS = 1024;

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
  let batch = newBatch(BATCH_BYTES);
  for (const { path, node } of inTreeOrder(top)) {
    const pathBytes = Buffer.from(path, 'latin1');
    if (!selects(pathBytes)) continue;
    const { value, createdIndex, modifiedIndex, expiration, children } = node;
    const record = { path: pathBytes, dir: children !== undefined, value, createdIndex, modifiedIndex, expiration };
    const length = nodeLength(record);
    const at = endOf(batch);
    if (batch.count === BATCH_RECORDS || at + length > batch.bytes.length) {
      if (batch.count > 0) yield batch;
      batch = newBatch(Math.max(BATCH_BYTES, length));
    }
    const start = endOf(batch);
    batch.starts[batch.count] = start;
    batch.ends[batch.count] = writeNode(batch.bytes, start, record);
    batch.count++;
  }
  if (batch.count > 0) yield batch;
}

/** Records are written straight into a batch's memory: there is a tree beside it already. */
function newBatch(bytes: number): { -readonly [K in keyof RecordBatch]: RecordBatch[K] } {
  return { bytes: Buffer.allocUnsafeSlow(bytes), starts: new Uint32Array(BATCH_RECORDS), ends: new Uint32Array(BATCH_RECORDS), count: 0 };
}

function endOf({ ends, count }: RecordBatch): number {
  return count === 0 ? 0 : (ends[count - 1] as number);
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
