import type { RecordBatch } from '../model/batch.js';
import { compareTreePaths } from '../model/tree-path.js';
import { keyOf } from '../wire/keyvalue.js';

/** One stream of nodes, and the place in it. */
interface Head {
  readonly batches: AsyncIterator<RecordBatch>;
  batch: RecordBatch;
  at: number;
  path: Buffer;
}

/**
 * Merges streams of nodes, each in tree order, into one. Of nodes with the same path the one of the
 * first stream is kept. Batches share the memory of those taken.
 */
export async function* mergeTrees(streams: readonly AsyncIterable<RecordBatch>[]): AsyncGenerator<RecordBatch> {
  const heads: Head[] = [];
  for (const stream of streams) {
    const head = { batches: stream[Symbol.asyncIterator](), batch: { bytes: NONE, starts: U32, ends: U32, count: 0 }, at: 0, path: NONE };
    if (await settle(head)) heads.push(head);
  }
  while (heads.length > 0) {
    const lowest = heads.reduce((a, b) => (compareTreePaths(a.path, b.path) <= 0 ? a : b));
    for (const head of heads.filter((other) => other !== lowest && other.path.equals(lowest.path))) {
      head.at++;
      if (!(await settle(head))) heads.splice(heads.indexOf(head), 1);
    }
    const limit = heads
      .filter((head) => head !== lowest)
      .map(({ path }) => path)
      .reduce(lower, undefined);
    const from = lowest.at;
    do lowest.at++;
    while (lowest.at < lowest.batch.count && (limit === undefined || compareTreePaths(pathAt(lowest), limit) < 0));
    const { bytes, starts, ends } = lowest.batch;
    const to = lowest.at;
    yield { bytes, starts: starts.subarray(from, to), ends: ends.subarray(from, to), count: to - from };
    if (!(await settle(lowest))) heads.splice(heads.indexOf(lowest), 1);
  }
}

const NONE: Buffer = Buffer.alloc(0);
const U32 = new Uint32Array(0);

/** Sees to it that the head has a record and its path; false at the end of its stream. */
async function settle(head: Head): Promise<boolean> {
  while (head.at >= head.batch.count) {
    const { done, value } = await head.batches.next();
    if (done === true) return false;
    head.batch = value;
    head.at = 0;
  }
  head.path = pathAt(head);
  return true;
}

function pathAt({ batch, at }: Head): Buffer {
  return keyOf(batch.bytes, batch.starts[at], batch.ends[at]);
}

function lower(a: Buffer | undefined, b: Buffer): Buffer {
  return a === undefined || compareTreePaths(b, a) < 0 ? b : a;
}
