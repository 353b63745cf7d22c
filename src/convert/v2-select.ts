import type { RecordBatch } from '../model/batch.js';
import type { KeySelection } from '../model/source.js';
import { isUnder } from '../model/tree-path.js';
import { decodeNode } from '../wire/node.js';
import { isSelected, selectsAll } from './select.js';

/** A directory with a TTL that is not selected itself. */
interface Held {
  readonly path: Buffer;
  readonly bytes: Buffer;
  readonly start: number;
  readonly end: number;
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
      const node = decodeNode(batch.bytes, start, end);
      held = held.filter(({ path }) => isUnder(node.path, path));
      if (isSelected(node.path, selection)) {
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
      } else if (node.dir && node.expiration !== 0n) {
        held.push({ path: node.path, bytes: batch.bytes, start, end });
      }
    }
    if (count > 0) yield { bytes: batch.bytes, starts, ends, count };
  }
}
