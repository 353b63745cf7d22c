import { FerryError } from '../errors.js';
import type { RecordBatch } from '../model/batch.js';
import { type Cursor, cursor, readBytes, readInt64, readVarint, readVarint64, skipField } from './varint.js';

/**
 * Messages of etcd's `KV` service (api/etcdserverpb/rpc.proto) as answers: split by hand, because
 * a page of records is passed on as it came and never decoded. Requests are in rpc-request.ts.
 */

/** etcdserverpb.ResponseHeader, without the raft term. */
export interface ResponseHeader {
  readonly clusterId: bigint;
  readonly memberId: bigint;
  /** The store's revision when the answer was made. */
  readonly revision: bigint;
}

/** etcdserverpb.RangeResponse; the records share the answer's memory. */
export interface RangeResponse {
  readonly header: ResponseHeader;
  readonly records: RecordBatch;
  /** There are more keys in the range than the limit let through. */
  readonly more: boolean;
  /** Number of keys in the whole range asked for, whatever the limit. */
  readonly count: bigint;
}

/** etcdserverpb.ResponseOp: what one operation of a transaction answered. */
export type OperationResult =
  | { readonly kind: 'range'; readonly range: RangeResponse }
  | { readonly kind: 'put' }
  | { readonly kind: 'delete'; readonly deleted: bigint };

/** etcdserverpb.TxnResponse. */
export interface TxnResponse {
  readonly header: ResponseHeader;
  /** Whether all compares held, and so which branch was carried out. */
  readonly succeeded: boolean;
  readonly results: readonly OperationResult[];
}

/** etcdserverpb.DeleteRangeResponse. */
export interface DeleteRangeResponse {
  readonly header: ResponseHeader;
  readonly deleted: bigint;
}

const NO_HEADER: ResponseHeader = { clusterId: 0n, memberId: 0n, revision: 0n };

/**
 * Splits a RangeResponse: where each KeyValue's bytes lie, without looking into them.
 *
 * @throws FerryError `damaged` when it does not parse
 */
export function decodeRangeResponse(bytes: Buffer, start = 0, end = bytes.length): RangeResponse {
  const c = cursor(bytes, start, end);
  const total = countOf(bytes, start, end, 0x12);
  const starts = new Uint32Array(total);
  const ends = new Uint32Array(total);
  const answer = { header: NO_HEADER, more: false, count: 0n };
  let n = 0;
  while (c.at < end) {
    const tag = readVarint(c);
    switch (tag) {
      case 0x12: {
        const stop = enter(c);
        starts[n] = c.at;
        ends[n++] = stop;
        c.at = stop;
        break;
      }
      case 0x0a:
        answer.header = readHeader(c);
        break;
      case 0x18:
        answer.more = readVarint(c) !== 0;
        break;
      case 0x20:
        answer.count = readInt64(c);
        break;
      default:
        skipUnknown(c, tag);
    }
  }
  return { ...answer, records: { bytes, starts, ends, count: total } };
}

/** @throws FerryError `damaged` when it does not parse */
export function decodeTxnResponse(bytes: Buffer): TxnResponse {
  const c = cursor(bytes);
  const answer = { header: NO_HEADER, succeeded: false, results: [] as OperationResult[] };
  while (c.at < c.end) {
    const tag = readVarint(c);
    switch (tag) {
      case 0x0a:
        answer.header = readHeader(c);
        break;
      case 0x10:
        answer.succeeded = readVarint(c) !== 0;
        break;
      case 0x1a: {
        const stop = enter(c);
        answer.results.push(decodeResult(bytes, c.at, stop));
        c.at = stop;
        break;
      }
      default:
        skipUnknown(c, tag);
    }
  }
  return answer;
}

/** @throws FerryError `damaged` when it does not parse */
export function decodeDeleteRangeResponse(bytes: Buffer, start = 0, end = bytes.length): DeleteRangeResponse {
  const c = cursor(bytes, start, end);
  const answer = { header: NO_HEADER, deleted: 0n };
  while (c.at < end) {
    const tag = readVarint(c);
    if (tag === 0x0a) answer.header = readHeader(c);
    else if (tag === 0x10) answer.deleted = readInt64(c);
    else skipUnknown(c, tag);
  }
  return answer;
}

/**
 * The header of any answer of etcd's API: field 1 of each (rpc.proto).
 *
 * @returns undefined where the answer has none
 * @throws FerryError `damaged` when it does not parse
 */
export function headerOf(bytes: Buffer): ResponseHeader | undefined {
  const c = cursor(bytes);
  while (c.at < c.end) {
    const tag = readVarint(c);
    if (tag === 0x0a) return readHeader(c);
    skipUnknown(c, tag);
  }
  return undefined;
}

/**
 * The ids in a MemberListResponse (members = 2, Member.ID = 1); a gRPC proxy lists itself without one.
 *
 * @throws FerryError `damaged` when it does not parse
 */
export function memberIdsIn(bytes: Buffer): bigint[] {
  return Array.from(nestedIds(bytes), (id) => BigInt.asUintN(64, id)).filter((id) => id !== 0n);
}

/**
 * The ids in a LeaseLeasesResponse (leases = 2, LeaseStatus.ID = 1).
 *
 * @throws FerryError `damaged` when it does not parse
 */
export function leaseIdsIn(bytes: Buffer): BigInt64Array {
  return nestedIds(bytes);
}

/**
 * The names in an AuthUserListResponse or AuthRoleListResponse (users or roles = 2).
 *
 * @throws FerryError `damaged` when it does not parse
 */
export function namesIn(bytes: Buffer): string[] {
  return textsIn(bytes, 0x12);
}

/**
 * What a StatusResponse says of the member's health (errors = 8).
 *
 * @throws FerryError `damaged` when it does not parse
 */
export function statusErrorsIn(bytes: Buffer): string[] {
  return textsIn(bytes, 0x42);
}

function decodeResult(bytes: Buffer, start: number, end: number): OperationResult {
  const c = cursor(bytes, start, end);
  let result: OperationResult = { kind: 'put' };
  while (c.at < end) {
    const tag = readVarint(c);
    if (tag === 0x0a || tag === 0x1a) {
      const stop = enter(c);
      if (tag === 0x0a) result = { kind: 'range', range: decodeRangeResponse(bytes, c.at, stop) };
      else result = { kind: 'delete', deleted: decodeDeleteRangeResponse(bytes, c.at, stop).deleted };
      c.at = stop;
    } else skipUnknown(c, tag);
  }
  return result;
}

function readHeader(c: Cursor): ResponseHeader {
  const inner = cursor(c.bytes, 0, enter(c));
  inner.at = c.at;
  const header = { clusterId: 0n, memberId: 0n, revision: 0n };
  while (inner.at < inner.end) {
    const tag = readVarint(inner);
    if (tag === 0x08) header.clusterId = readVarint64(inner);
    else if (tag === 0x10) header.memberId = readVarint64(inner);
    else if (tag === 0x18) header.revision = readInt64(inner);
    else skipUnknown(inner, tag);
  }
  c.at = inner.end;
  return header;
}

function textsIn(bytes: Buffer, wanted: number): string[] {
  const texts: string[] = [];
  const c = cursor(bytes);
  while (c.at < c.end) {
    const tag = readVarint(c);
    if (tag === wanted) texts.push(readBytes(c).toString());
    else skipUnknown(c, tag);
  }
  return texts;
}

/** Field 1, a number, of every message in field 2; 0 where it is absent. */
function nestedIds(bytes: Buffer): BigInt64Array {
  const ids = new BigInt64Array(countOf(bytes, 0, bytes.length, 0x12));
  const c = cursor(bytes);
  let n = 0;
  while (c.at < c.end) {
    const tag = readVarint(c);
    if (tag === 0x12) ids[n++] = firstNumber(c);
    else skipUnknown(c, tag);
  }
  return ids;
}

/** Reads a message and gives its field 1, a number. */
function firstNumber(c: Cursor): bigint {
  const inner = cursor(c.bytes, 0, enter(c));
  let found = 0n;
  for (inner.at = c.at; inner.at < inner.end; ) {
    const tag = readVarint(inner);
    if (tag === 0x08) found = readInt64(inner);
    else skipUnknown(inner, tag);
  }
  c.at = inner.end;
  return found;
}

/** Number of fields with this tag, so that arrays are made once and no larger than the bytes allow. */
function countOf(bytes: Buffer, start: number, end: number, wanted: number): number {
  const c = cursor(bytes, start, end);
  let count = 0;
  while (c.at < end) {
    const tag = readVarint(c);
    if (tag === wanted) count++;
    skipUnknown(c, tag);
  }
  return count;
}

/** Reads a message's length and returns the offset of its end; the cursor is left at its first byte. */
function enter(c: Cursor): number {
  const length = readVarint(c);
  const stop = c.at + length;
  if (stop > c.end) throw new FerryError('damaged', 'a protobuf message is cut short');
  return stop;
}

function skipUnknown(c: Cursor, tag: number): void {
  if (tag < 8) throw new FerryError('damaged', 'a protobuf field has number 0');
  skipField(c, tag & 7);
}

/** One field of a message that holds nothing else of interest: a blob of a stream, say. */
export function bytesField(bytes: Buffer, wanted: number): Buffer {
  const c = cursor(bytes);
  let found: Buffer = bytes.subarray(0, 0);
  while (c.at < c.end) {
    const tag = readVarint(c);
    if (tag === wanted) found = readBytes(c);
    else skipUnknown(c, tag);
  }
  return found;
}
