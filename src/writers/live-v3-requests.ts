import { type Compare, encodePuts, encodeTxn } from '../wire/rpc-request.js';
import { type Columns, keyAt, keyLength, valueLength } from './live-v3-columns.js';
import { afterKey } from './live-v3-target.js';

/** Operations etcd takes in a transaction unless told otherwise (etcd server/embed/config.go DefaultMaxTxnOps). */
export const DEFAULT_MAX_OPS = 128;
/**
 * Bytes etcd takes in a request unless told otherwise (DefaultMaxRequestBytes), less what it adds
 * before it measures: the raft message's own header with the user's name.
 */
export const DEFAULT_MAX_BYTES = 1.5 * 1024 * 1024 - 4096;

/** Bytes a put, and the compare that guards it, add to a request besides key and value, at most. */
const PUT_FRAME = 35;
const COMPARE_FRAME = 25;

/** Records of one batch that are put in one transaction. */
export interface Chunk {
  readonly columns: Columns;
  /** Indices of the records, ascending, as their keys are. */
  readonly picked: readonly number[];
  /** The target's mod_revision by index, where it has the key already; 0n or out of bounds where not. */
  readonly modRevisions: BigInt64Array;
  /**
   * What holds the target to what was seen of it. `span`: no key from the first to the last, in one
   * compare; `keys`: each key as it was seen.
   */
  readonly guard: 'span' | 'keys';
}

/** Bytes the put of record `i` takes in a request with its guard, at most. */
export function putBytes(columns: Columns, i: number, guard: Chunk['guard']): number {
  const key = keyLength(columns, i);
  return PUT_FRAME + key + valueLength(columns, i) + (guard === 'keys' ? COMPARE_FRAME + key : 0);
}

/**
 * Cuts records into chunks, bounded in number and in bytes; a record larger than the bound is
 * alone.
 *
 * @param records what to write; its `picked` may be any number
 */
export function* chunksOf(records: Chunk, maxOps: number, maxBytes: number): Generator<Chunk> {
  let picked: number[] = [];
  let bytes = 0;
  for (const i of records.picked) {
    const size = putBytes(records.columns, i, records.guard);
    if (picked.length > 0 && (picked.length >= maxOps || bytes + size > maxBytes)) {
      yield { ...records, picked };
      picked = [];
      bytes = 0;
    }
    picked.push(i);
    bytes += size;
  }
  if (picked.length > 0) yield { ...records, picked };
}

/**
 * Encodes a chunk as a transaction.
 *
 * A compare with `range_end` holds when it holds for every key of the range, and an empty range is
 * taken as one key with create_revision 0 (etcd server/etcdserver/apply.go applyCompare, since 3.3).
 *
 * @param leases the target's lease for each of the picked records; 0n for none
 */
export function encodeChunk(chunk: Chunk, leases: readonly bigint[]): Buffer {
  return encodePuts(comparesOf(chunk), chunk.columns, chunk.picked, leases);
}

/** The same puts under a condition that never holds: asks whether the server takes so large a request. */
export function encodeProbe(columns: Columns, i: number): Buffer {
  const key = keyAt(columns, i);
  const value = columns.bytes.subarray(columns.valueStarts[i], columns.valueEnds[i]);
  const never: Compare = { target: 'version', result: 'less', key, operand: 0n };
  return encodeTxn({ compares: [never], success: [{ kind: 'put', key, value, lease: 0n }], failure: [] });
}

function comparesOf({ columns, picked, modRevisions, guard }: Chunk): Compare[] {
  if (guard === 'keys') return picked.map((i) => compareOf(keyAt(columns, i), modRevisions[i] ?? 0n));
  const [first, last] = [keyAt(columns, picked[0] as number), keyAt(columns, picked.at(-1) as number)];
  return [{ target: 'create', result: 'equal', key: first, rangeEnd: afterKey(last), operand: 0n }];
}

function compareOf(key: Buffer, modRevision: bigint): Compare {
  const target = modRevision === 0n ? 'create' : 'mod';
  return { target, result: 'equal', key, operand: modRevision };
}
