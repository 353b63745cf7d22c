import { eachField, readBool } from './raft.js';
import { decodeV2Operation } from './raft-v2.js';
import { readBytes, readInt64, readVarint, readVarint64 } from './varint.js';

const EMPTY: Buffer = Buffer.alloc(0);

/** Keys from `key` up to `end`: `end` undefined is `key` alone, empty is all from `key` on. */
export interface KeyRange {
  readonly key: Buffer;
  readonly end: Buffer | undefined;
}

export interface PutOperation {
  readonly kind: 'put';
  key: Buffer;
  value: Buffer;
  lease: bigint;
  ignoreValue: boolean;
  ignoreLease: boolean;
  prevKv: boolean;
}

export interface DeleteOperation {
  readonly kind: 'delete';
  readonly range: KeyRange;
  readonly prevKv: boolean;
}

export interface ReadOperation {
  readonly kind: 'read';
  readonly range: KeyRange;
  /** 0n for the latest; what is asked for may be compacted or in the future. */
  readonly revision: bigint;
  /** True where it names a sort target that etcd does not know: up to 3.5 etcd panics when it sorts by it. */
  readonly unsortable: boolean;
}

type CompareResult = 'equal' | 'greater' | 'less' | 'not-equal';
type CompareTarget = 'version' | 'create' | 'mod' | 'value' | 'lease';

export interface Comparison {
  readonly range: KeyRange;
  readonly result: CompareResult | undefined;
  /** Undefined for one that etcd does not know: it takes both sides for equal. */
  readonly target: CompareTarget | undefined;
  /** What to compare with, for all targets but `value`. */
  readonly number: bigint;
  readonly value: Buffer;
}

export interface TxnOperation {
  readonly kind: 'txn';
  readonly compares: readonly Comparison[];
  readonly success: readonly RequestOperation[];
  readonly failure: readonly RequestOperation[];
}

/** What a transaction may do. */
export type RequestOperation = PutOperation | DeleteOperation | ReadOperation | TxnOperation;

export interface AuthOperation {
  readonly kind: 'auth';
  /** Field number in InternalRaftRequest: 1000 to 1205. */
  readonly field: number;
  readonly message: Buffer;
}

/** An operation of the v3 API as it stands in the raft log. */
export type V3Operation =
  | RequestOperation
  | AuthOperation
  | { readonly kind: 'compaction'; readonly revision: bigint }
  | { readonly kind: 'lease-grant'; readonly id: bigint; readonly ttl: bigint }
  | { readonly kind: 'lease-revoke'; readonly id: bigint }
  | { readonly kind: 'lease-checkpoint'; readonly checkpoints: readonly { readonly id: bigint; readonly remainingTtl: bigint }[] }
  | { readonly kind: 'alarm'; readonly action: number; readonly memberId: bigint; readonly alarm: number }
  | { readonly kind: 'cluster-version'; readonly version: string }
  /** Changes nothing that a backup holds: v2 operations, reads, the cluster's members. */
  | { readonly kind: 'none' }
  | { readonly kind: 'unknown'; readonly field: number };

export interface V3Request {
  readonly operation: V3Operation;
  /** Who asked for it; empty without authentication. */
  readonly user: string;
  readonly authRevision: bigint;
}

const MAX_TXN_DEPTH = 100;
const RESULTS: readonly CompareResult[] = ['equal', 'greater', 'less', 'not-equal'];
const TARGETS: readonly CompareTarget[] = ['version', 'create', 'mod', 'value', 'lease'];
const V2_METHOD = /^(POST|PUT|DELETE|QGET|SYNC)$/;
/** authenticate, auth_status, gets and lists, what concerns the cluster alone, and what etcd's own tests write (9900, since 3.6). */
const WITHOUT_EFFECT: ReadonlySet<number> = new Set([2, 3, 1012, 1013, 1102, 1106, 1107, 1202, 1301, 1302, 9900]);
const CLUSTER_VERSION_SET = 1300;
/** Where the v2 store keeps the cluster's version; up to 3.5 it is set through there. */
const V2_CLUSTER_VERSION = '/0/version';
const SORT_TARGETS = 5;
const SORT_ORDERS = 3;
const AUTH_FIELDS: ReadonlySet<number> = new Set([1000, 1011, 1100, 1101, 1103, 1104, 1105, 1200, 1201, 1203, 1204]);

/**
 * Decodes the data of a normal entry for the v3 store: an etcdserverpb.InternalRaftRequest (or a bare
 * v2 Request, which does nothing to it). Bytes share the memory of `data`.
 *
 * @throws FerryError `damaged` when it does not parse
 */
export function decodeV3Request(data: Buffer): V3Request {
  let [user, authRevision] = ['', 0n];
  let operation: V3Operation = { kind: 'none' };
  let [bare, v2] = [false, false];
  eachField(data, (tag, c) => {
    const field = Math.floor(tag / 8);
    if ((tag & 7) !== 2 || field === 1) return false;
    const message = readBytes(c);
    if (field === 2) {
      v2 = true;
      bare ||= V2_METHOD.test(message.toString('latin1'));
    }
    if (bare) return true;
    if (field === 100) {
      eachField(message, (inner, header) => {
        if (inner === 0x12) user = readBytes(header).toString();
        else if (inner === 0x18) authRevision = readVarint64(header);
        else return false;
        return true;
      });
    } else operation = decodeOperation(field, message);
    return true;
  });
  return { operation: v2 ? decodeV2ForV3(data) : operation, user, authRevision };
}

/** Of the v2 API's operations one concerns the v3 store: the cluster's version. */
function decodeV2ForV3(data: Buffer): V3Operation {
  const decoded = decodeV2Operation(data);
  if (decoded.kind !== 'request') return { kind: 'none' };
  const { method, path, value } = decoded.request;
  if (method !== 'PUT' || path.toString('latin1') !== V2_CLUSTER_VERSION) return { kind: 'none' };
  return { kind: 'cluster-version', version: value.toString() };
}

function decodeOperation(field: number, message: Buffer): V3Operation {
  switch (field) {
    case 4:
      return decodePut(message);
    case 5:
      return decodeDelete(message);
    case 6:
      return decodeTxn(message, 0);
    case 7:
      return { kind: 'compaction', revision: BigInt.asIntN(64, numbersOf(message)[1] ?? 0n) };
    case 8: {
      const [, ttl = 0n, id = 0n] = numbersOf(message);
      return { kind: 'lease-grant', id: BigInt.asIntN(64, id), ttl: BigInt.asIntN(64, ttl) };
    }
    case 9:
      return { kind: 'lease-revoke', id: BigInt.asIntN(64, numbersOf(message)[1] ?? 0n) };
    case 10: {
      const [, action = 0n, memberId = 0n, alarm = 0n] = numbersOf(message);
      return { kind: 'alarm', action: Number(action), memberId, alarm: Number(alarm) };
    }
    case 11:
      return decodeCheckpoints(message);
    default:
      if (AUTH_FIELDS.has(field)) return { kind: 'auth', field, message };
      if (field === CLUSTER_VERSION_SET) return { kind: 'cluster-version', version: firstText(message) };
      return WITHOUT_EFFECT.has(field) ? { kind: 'none' } : { kind: 'unknown', field };
  }
}

function firstText(message: Buffer): string {
  let text = '';
  eachField(message, (tag, c) => {
    if (tag !== 0x0a) return false;
    text = readBytes(c).toString();
    return true;
  });
  return text;
}

function decodePut(message: Buffer): PutOperation {
  const put: PutOperation = { kind: 'put', key: EMPTY, value: EMPTY, lease: 0n, ignoreValue: false, ignoreLease: false, prevKv: false };
  eachField(message, (tag, c) => {
    if (tag === 0x0a) put.key = readBytes(c);
    else if (tag === 0x12) put.value = readBytes(c);
    else if (tag === 0x18) put.lease = readInt64(c);
    else if (tag === 0x20) put.prevKv = readBool(c);
    else if (tag === 0x28) put.ignoreValue = readBool(c);
    else if (tag === 0x30) put.ignoreLease = readBool(c);
    else return false;
    return true;
  });
  return put;
}

function decodeDelete(message: Buffer): DeleteOperation {
  return { kind: 'delete', range: decodeRange(message), prevKv: (numbersOf(message)[3] ?? 0n) !== 0n };
}

function decodeRead(message: Buffer): ReadOperation {
  const [, , , , revision = 0n, order = 0n, target = 0n] = numbersOf(message);
  return {
    kind: 'read',
    range: decodeRange(message),
    revision: BigInt.asIntN(64, revision),
    unsortable: target >= SORT_TARGETS && order < SORT_ORDERS,
  };
}

/** Fields 1 and 2 of a RangeRequest or DeleteRangeRequest; a `range_end` of one zero byte means no end. */
function decodeRange(message: Buffer): KeyRange {
  let key = EMPTY;
  let end: Buffer | undefined;
  eachField(message, (tag, c) => {
    if (tag === 0x0a) key = readBytes(c);
    else if (tag === 0x12) end = readBytes(c);
    else return false;
    return true;
  });
  return rangeOf(key, end);
}

/** A range as etcd writes it: an end that is empty or not there for the key alone, one zero byte for all from the key on. */
export function rangeOf(key: Buffer, end: Buffer | undefined): KeyRange {
  if (end === undefined || end.length === 0) return { key, end: undefined };
  return { key, end: end.length === 1 && end[0] === 0 ? EMPTY : end };
}

function decodeTxn(message: Buffer, depth: number): TxnOperation {
  const compares: Comparison[] = [];
  const success: RequestOperation[] = [];
  const failure: RequestOperation[] = [];
  eachField(message, (tag, c) => {
    if (tag === 0x0a) compares.push(decodeCompare(readBytes(c)));
    else if (tag === 0x12) pushRequest(success, readBytes(c), depth);
    else if (tag === 0x1a) pushRequest(failure, readBytes(c), depth);
    else return false;
    return true;
  });
  return { kind: 'txn', compares, success, failure };
}

function pushRequest(requests: RequestOperation[], message: Buffer, depth: number): void {
  eachField(message, (tag, c) => {
    if (tag === 0x0a) requests.push(decodeRead(readBytes(c)));
    else if (tag === 0x12) requests.push(decodePut(readBytes(c)));
    else if (tag === 0x1a) requests.push(decodeDelete(readBytes(c)));
    // etcd nests as deep as a request's size allows; past this depth it is no program's.
    else if (tag === 0x22 && depth < MAX_TXN_DEPTH) requests.push(decodeTxn(readBytes(c), depth + 1));
    else return false;
    return true;
  });
}

function decodeCompare(message: Buffer): Comparison {
  let [key, value] = [EMPTY, EMPTY];
  let end: Buffer | undefined;
  let [result, target] = [0, 0];
  const numbers = new Map<number, bigint>();
  eachField(message, (tag, c) => {
    if (tag === 0x08) result = readVarint(c);
    else if (tag === 0x10) target = readVarint(c);
    else if (tag === 0x1a) key = readBytes(c);
    else if (tag === 0x3a) value = readBytes(c);
    else if (tag === (64 << 3) + 2) end = readBytes(c);
    else if (tag === 0x20 || tag === 0x28 || tag === 0x30 || tag === 0x40) numbers.set(tag >> 3, readInt64(c));
    else return false;
    return true;
  });
  // Fields 4 to 8 are version, create_revision, mod_revision, value and lease: the targets' order.
  const number = numbers.get(target + 4) ?? 0n;
  return { range: rangeOf(key, end), result: RESULTS[result], target: TARGETS[target], number, value };
}

function decodeCheckpoints(message: Buffer): V3Operation {
  const checkpoints: { id: bigint; remainingTtl: bigint }[] = [];
  eachField(message, (tag, c) => {
    if (tag !== 0x0a) return false;
    const [, id = 0n, remainingTtl = 0n] = numbersOf(readBytes(c));
    checkpoints.push({ id: BigInt.asIntN(64, id), remainingTtl: BigInt.asIntN(64, remainingTtl) });
    return true;
  });
  return { kind: 'lease-checkpoint', checkpoints };
}

/** The varint fields of a message by number, up to 15. */
function numbersOf(message: Buffer): (bigint | undefined)[] {
  const numbers: (bigint | undefined)[] = [];
  eachField(message, (tag, c) => {
    if ((tag & 7) !== 0 || tag >= 128) return false;
    numbers[tag >> 3] = readVarint64(c);
    return true;
  });
  return numbers;
}
