import type { KeyMapping } from '../convert/key-mapping.js';
import type { RecordBatch } from '../model/batch.js';
import { recordAt } from '../model/batch.js';
import { keyOf } from '../wire/keyvalue.js';
import { decodeNode } from '../wire/node.js';

const COLLISIONS_NAMED = 10;
const PATHS_NAMED = 5;
const MARKER_END = Buffer.from('/');

/** A key that several nodes would become. */
export interface Collision {
  readonly key: Buffer;
  /** The first few paths that would become it. */
  readonly paths: readonly Buffer[];
}

export interface Collisions {
  /** Keys that more than one node would become. */
  readonly count: number;
  readonly examples: readonly Collision[];
}

/**
 * Finds the keys that several records have.
 *
 * @param sorted records in key order
 */
export async function findCollidingKeys(sorted: AsyncIterable<RecordBatch>): Promise<{ count: number; keys: Buffer[] }> {
  const found: { count: number; keys: Buffer[] } = { count: 0, keys: [] };
  let last: Buffer | undefined;
  let counted = false;
  for await (const batch of sorted) {
    for (let i = 0; i < batch.count; i++) {
      const key = keyOf(batch.bytes, batch.starts[i], batch.ends[i]);
      const same = last?.equals(key) === true;
      if (same && !counted) {
        found.count++;
        if (found.keys.length < COLLISIONS_NAMED) found.keys.push(Buffer.from(key));
      }
      counted = same;
      last = key;
    }
  }
  return found;
}

/** Names the paths of a tree that would become one of `keys`. */
export async function pathsOfKeys(
  tree: AsyncIterable<RecordBatch>,
  keys: readonly Buffer[],
  { mapping, markers }: { readonly mapping: KeyMapping; readonly markers: boolean },
): Promise<Collision[]> {
  const collisions = new Map(keys.map((key) => [key.toString('latin1'), { key, paths: [] as Buffer[] }]));
  for await (const batch of tree) {
    for (let i = 0; i < batch.count; i++) {
      const { path, dir } = decodeNode(recordAt(batch, i));
      if (path.length <= 1 || (dir && !markers)) continue;
      const key = mapping.mapKey(dir ? Buffer.concat([path, MARKER_END]) : path);
      const paths = collisions.get(key.toString('latin1'))?.paths;
      if (paths !== undefined && paths.length < PATHS_NAMED) paths.push(Buffer.from(path));
    }
  }
  return [...collisions.values()];
}
