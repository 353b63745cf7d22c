import { encodeFields } from './fields.js';
import { varint64Length, varintLength, writeVarint, writeVarint64 } from './varint.js';

/** etcdserverpb.RangeRequest (api/etcdserverpb/rpc.proto), as far as this project asks. */
export interface RangeRequest {
  readonly key: Buffer;
  /** Just past the last key; one zero byte means "to the end". Left out: the one key alone. */
  readonly rangeEnd?: Buffer;
  /** Most keys to give; 0 or left out for no limit. */
  readonly limit?: number;
  /** 0n or left out: the newest. */
  readonly revision?: bigint;
  readonly serializable?: boolean;
  readonly keysOnly?: boolean;
  readonly countOnly?: boolean;
  /** Only keys changed last at this revision or later. */
  readonly minModRevision?: bigint;
  /** Only keys changed last at this revision or before. */
  readonly maxModRevision?: bigint;
}

/** One condition of a transaction. With `rangeEnd` it must hold for every key of the range. */
export interface Compare {
  readonly target: 'version' | 'create' | 'mod' | 'value' | 'lease';
  readonly result: 'equal' | 'greater' | 'less' | 'not-equal';
  readonly key: Buffer;
  readonly rangeEnd?: Buffer;
  /** Bytes for the target `value`, a number for the others. */
  readonly operand: bigint | Buffer;
}

/** One operation of a transaction. */
export type Operation =
  | { readonly kind: 'put'; readonly key: Buffer; readonly value: Buffer; readonly lease: bigint }
  | { readonly kind: 'delete'; readonly key: Buffer; readonly rangeEnd?: Buffer }
  | { readonly kind: 'range'; readonly range: RangeRequest };

/** etcdserverpb.TxnRequest. */
export interface TxnRequest {
  readonly compares: readonly Compare[];
  readonly success: readonly Operation[];
  readonly failure: readonly Operation[];
}

const EMPTY: Buffer = Buffer.alloc(0);
const TARGETS = ['version', 'create', 'mod', 'value', 'lease'] as const;
const RESULTS = ['equal', 'greater', 'less', 'not-equal'] as const;

export function encodeRange(request: RangeRequest): Buffer {
  return encodeFields([
    [0x0a, request.key],
    [0x12, request.rangeEnd ?? EMPTY],
    [0x18, BigInt(request.limit ?? 0)],
    [0x20, request.revision ?? 0n],
    [0x38, request.serializable ? 1n : 0n],
    [0x40, request.keysOnly ? 1n : 0n],
    [0x48, request.countOnly ? 1n : 0n],
    [0x50, request.minModRevision ?? 0n],
    [0x58, request.maxModRevision ?? 0n],
  ]);
}

export function encodeDeleteRange(key: Buffer, rangeEnd: Buffer = EMPTY): Buffer {
  return encodeFields([
    [0x0a, key],
    [0x12, rangeEnd],
  ]);
}

/** Encodes a transaction; keys and values of puts are copied once. */
export function encodeTxn(txn: TxnRequest): Buffer {
  const parts = [
    ...txn.compares.map((compare) => packed(0x0a, encodeCompare(compare))),
    ...txn.success.map((operation) => packOperation(0x12, operation)),
    ...txn.failure.map((operation) => packOperation(0x1a, operation)),
  ];
  const out = Buffer.allocUnsafe(parts.reduce((sum, part) => sum + part.size, 0));
  let at = 0;
  for (const part of parts) at = part.write(out, at);
  return out;
}

/** Keys and values to put, as they lie in one buffer. */
export interface PutColumns {
  readonly bytes: Buffer;
  readonly keyStarts: Uint32Array;
  readonly keyEnds: Uint32Array;
  readonly valueStarts: Uint32Array;
  readonly valueEnds: Uint32Array;
}

/**
 * Encodes a transaction of puts as `encodeTxn` does, without an object for each of them.
 *
 * @param picked indices of the puts; quickest where one lies behind the other
 * @param leases of the picked ones; 0n for none
 */
export function encodePuts(
  compares: readonly Compare[],
  columns: PutColumns,
  picked: readonly number[],
  leases: readonly bigint[],
): Buffer {
  const conditions = compares.map((compare) => packed(0x0a, encodeCompare(compare)));
  const lengths = Uint32Array.from(picked, (i, p) => putLengthOf(columns, i, leases[p] as bigint));
  const size = lengths.reduce((sum, length) => sum + framed(framed(length)), 0) + conditions.reduce((sum, part) => sum + part.size, 0);
  const out = new Near(columns.bytes, size, regionOf(columns, picked));
  let at = 0;
  for (const part of conditions) at = part.write(out.target, at);
  for (let p = 0; p < picked.length; p++) {
    const i = picked[p] as number;
    at = writeFrame(out.target, at, 0x12, framed(lengths[p] as number));
    at = writeFrame(out.target, at, 0x12, lengths[p] as number);
    at = out.copyField(at, 0x0a, columns.keyStarts[i] as number, columns.keyEnds[i] as number);
    at = out.copyField(at, 0x12, columns.valueStarts[i] as number, columns.valueEnds[i] as number);
    const lease = leases[p] as bigint;
    if (lease === 0n) continue;
    out.target[at] = 0x18;
    at = writeVarint64(out.target, at + 1, lease);
  }
  return out.target.subarray(0, size);
}

/** What of the memory the picked puts take, from the first byte to the last. */
function regionOf(columns: PutColumns, picked: readonly number[]): { readonly from: number; readonly to: number } {
  let [from, to] = [Number.POSITIVE_INFINITY, 0];
  for (const [starts, ends] of [
    [columns.keyStarts, columns.keyEnds],
    [columns.valueStarts, columns.valueEnds],
  ] as const) {
    for (const i of picked) {
      // An empty one lies nowhere.
      if (starts[i] === ends[i]) continue;
      from = Math.min(from, starts[i] as number);
      to = Math.max(to, ends[i] as number);
    }
  }
  return { from: Math.min(from, to), to };
}

/**
 * A message in the making that takes its bytes from another memory. Copies between two memories make a
 * view each, so what lies close together is brought over at once, behind the message, and moved from there.
 */
class Near {
  readonly target: Buffer;
  readonly #source: Buffer;
  readonly #size: number;
  readonly #from: number;
  readonly #isNear: boolean;

  constructor(source: Buffer, size: number, region: { readonly from: number; readonly to: number }) {
    const length = region.to - region.from;
    this.#source = source;
    this.#size = size;
    this.#from = region.from;
    this.#isNear = length <= 2 * size;
    this.target = Buffer.allocUnsafe(this.#isNear ? size + length : size);
    if (this.#isNear) source.copy(this.target, size, region.from, region.to);
  }

  /** Writes a length-delimited field; an empty one is left out. @returns the offset just past it */
  copyField(start: number, tag: number, from: number, to: number): number {
    if (from === to) return start;
    const at = writeFrame(this.target, start, tag, to - from);
    if (this.#isNear) this.target.copyWithin(at, this.#size + from - this.#from, this.#size + to - this.#from);
    else this.#source.copy(this.target, at, from, to);
    return at + to - from;
  }
}

function putLengthOf({ keyStarts, keyEnds, valueStarts, valueEnds }: PutColumns, i: number, lease: bigint): number {
  const key = (keyEnds[i] as number) - (keyStarts[i] as number);
  const value = (valueEnds[i] as number) - (valueStarts[i] as number);
  return (key === 0 ? 0 : framed(key)) + (value === 0 ? 0 : framed(value)) + (lease === 0n ? 0 : 1 + varint64Length(lease));
}

/** Bytes a put adds to a transaction, to keep it below the server's request limit. */
export function putSize(key: Buffer, value: Buffer, lease: bigint): number {
  return framed(framed(putLength(key, value, lease)));
}

interface Part {
  readonly size: number;
  write(target: Buffer, at: number): number;
}

function packed(tag: number, message: Buffer): Part {
  return {
    size: framed(message.length),
    write: (target, at) => {
      const inner = writeFrame(target, at, tag, message.length);
      return inner + message.copy(target, inner);
    },
  };
}

function packOperation(tag: number, operation: Operation): Part {
  if (operation.kind === 'range') return packed(tag, encodeFields([[0x0a, encodeRange(operation.range)]]));
  if (operation.kind === 'delete') {
    return packed(tag, encodeFields([[0x1a, encodeDeleteRange(operation.key, operation.rangeEnd)]]));
  }
  const { key, value, lease } = operation;
  const length = putLength(key, value, lease);
  return {
    size: framed(framed(length)),
    write: (target, start) => {
      let at = writeFrame(target, start, tag, framed(length));
      at = writeFrame(target, at, 0x12, length);
      at = writeBytes(target, at, 0x0a, key);
      at = writeBytes(target, at, 0x12, value);
      if (lease === 0n) return at;
      target[at] = 0x18;
      return writeVarint64(target, at + 1, lease);
    },
  };
}

function putLength(key: Buffer, value: Buffer, lease: bigint): number {
  const keySize = key.length === 0 ? 0 : framed(key.length);
  const valueSize = value.length === 0 ? 0 : framed(value.length);
  return keySize + valueSize + (lease === 0n ? 0 : 1 + varint64Length(lease));
}

/** The operand is written even when zero: it is a oneof, and that is what etcd's own client does. */
function encodeCompare(compare: Compare): Buffer {
  const target = TARGETS.indexOf(compare.target);
  const operand = Buffer.allocUnsafe(typeof compare.operand === 'bigint' ? 11 : framed(compare.operand.length));
  const tag = [0x20, 0x28, 0x30, 0x3a, 0x40][target] as number;
  operand[0] = tag;
  let end: number;
  if (typeof compare.operand === 'bigint') end = writeVarint64(operand, 1, compare.operand);
  else {
    end = writeFrame(operand, 0, tag, compare.operand.length);
    end += compare.operand.copy(operand, end);
  }
  const head = encodeFields([
    [0x08, BigInt(RESULTS.indexOf(compare.result))],
    [0x10, BigInt(target)],
    [0x1a, compare.key],
  ]);
  return Buffer.concat([head, operand.subarray(0, end), encodeRangeEnd(compare.rangeEnd)]);
}

/** Compare.range_end has field number 64, so a tag of two bytes. */
function encodeRangeEnd(rangeEnd: Buffer | undefined): Buffer {
  if (rangeEnd === undefined || rangeEnd.length === 0) return EMPTY;
  const out = Buffer.allocUnsafe(1 + framed(rangeEnd.length));
  out[0] = 0x82;
  const at = writeFrame(out, 1, 0x04, rangeEnd.length);
  rangeEnd.copy(out, at);
  return out;
}

/** Size of a length-delimited field with a tag of one byte. */
function framed(length: number): number {
  return 1 + varintLength(length) + length;
}

function writeFrame(target: Buffer, at: number, tag: number, length: number): number {
  target[at] = tag;
  return writeVarint(target, at + 1, length);
}

function writeBytes(target: Buffer, at: number, tag: number, bytes: Buffer): number {
  if (bytes.length === 0) return at;
  const inner = writeFrame(target, at, tag, bytes.length);
  return inner + bytes.copy(target, inner);
}
