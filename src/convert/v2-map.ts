import { batchOf, type RecordBatch } from '../model/batch.js';
import type { RunContext } from '../model/run.js';
import { isUnder } from '../model/tree-path.js';
import { sortRecords } from '../sort/sorter.js';
import { encodeNode } from '../wire/node.js';
import type { KeyMapping } from './key-mapping.js';
import { walkNodes } from './v2-walk.js';

const SLASH = 0x2f;
/** Length of the sort key, before it. */
const HEAD = 4;

/**
 * Renames the nodes of a tree and puts them in tree order again. A node that leaves a directory
 * with a TTL takes the expiration with it.
 *
 * @throws FerryError `usage` for a path the mapping cannot take; as `sortRecords` does
 */
export async function* mapNodes(
  batches: AsyncIterable<RecordBatch>,
  mapping: KeyMapping,
  tmpDir: string,
  run: RunContext,
): AsyncGenerator<RecordBatch> {
  if (mapping.identity) {
    yield* batches;
    return;
  }
  const findKey = (bytes: Buffer, start: number, _end: number, range: { start: number; end: number }): void => {
    range.start = start + HEAD;
    range.end = start + HEAD + bytes.readUInt32LE(start);
  };
  for await (const batch of sortRecords(renamed(batches, mapping), { findKey, tmpDir }, run)) {
    const starts = new Uint32Array(batch.count);
    for (let i = 0; i < batch.count; i++) {
      const start = batch.starts[i] as number;
      starts[i] = start + HEAD + batch.bytes.readUInt32LE(start);
    }
    yield { ...batch, starts };
  }
}

/** The nodes by their new paths, each behind a key that sorts them in tree order. */
async function* renamed(batches: AsyncIterable<RecordBatch>, mapping: KeyMapping): AsyncGenerator<RecordBatch> {
  for await (const placed of walkNodes(batches)) {
    yield batchOf(
      placed.map(({ node, expiration, mortalAbove }) => {
        const path = mapping.mapKey(node.path);
        const stays = mortalAbove.every((above) => isUnder(path, mapping.mapKey(above)));
        const key = treeSortKey(path);
        const head = Buffer.alloc(HEAD);
        head.writeUInt32LE(key.length);
        return Buffer.concat([head, key, encodeNode({ ...node, path, expiration: stays ? node.expiration : expiration })]);
      }),
    );
  }
}

/** Bytes that sort as `compareTreePaths` has it: `/` becomes 0, and what was 0 or 1 gets a 1 before it. */
export function treeSortKey(path: Buffer): Buffer {
  const key: number[] = [];
  for (const byte of path) {
    if (byte === SLASH) key.push(0);
    else if (byte <= 1) key.push(1, byte);
    else key.push(byte);
  }
  return Buffer.from(key);
}
