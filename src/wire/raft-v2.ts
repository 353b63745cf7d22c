import { eachField, readBool } from './raft.js';
import type { Cursor } from './varint.js';
import { readBytes, readInt64, readVarint64 } from './varint.js';

const EMPTY: Buffer = Buffer.alloc(0);

type V2Method = 'POST' | 'PUT' | 'DELETE' | 'QGET' | 'SYNC';

const METHODS: ReadonlySet<string> = new Set<V2Method>(['POST', 'PUT', 'DELETE', 'QGET', 'SYNC']);

/** etcdserverpb.Request: one operation of the v2 API as it stands in the raft log. */
export interface V2Request {
  method: V2Method | undefined;
  /** In the store's namespaces: user keys begin with `/1/`. */
  path: Buffer;
  value: Buffer;
  dir: boolean;
  prevValue: Buffer;
  prevIndex: bigint;
  prevExist: boolean | undefined;
  /** Nanoseconds since the Unix epoch; 0n for none. */
  expiration: bigint;
  recursive: boolean;
  /** SYNC: the moment up to which keys expire, nanoseconds since the Unix epoch. */
  time: bigint;
  refresh: boolean;
}

/** What etcd's v2 store is made to do by an entry of the log. */
export type V2Operation =
  | { readonly kind: 'request'; readonly request: V2Request }
  /** InternalRaftRequest.cluster_version_set (3.5 and later). */
  | { readonly kind: 'cluster-version'; readonly version: Buffer }
  /** InternalRaftRequest.cluster_member_attr_set (3.5 and later). */
  | { readonly kind: 'member-attributes'; readonly memberId: bigint }
  /** An operation of the v3 API: the v2 store is not touched. */
  | { readonly kind: 'v3' };

/**
 * Decodes the data of a normal entry: a bare `Request` (every v2 operation from 2.0 on, in practice)
 * or an `InternalRaftRequest`, whose field 2 is a `Request`. They are told apart by field 2: as a
 * method's name it never parses as a message, which is how etcd itself tells them apart
 * (etcdserver/server.go, applyEntryNormal).
 *
 * @throws FerryError `damaged` when it is neither
 */
export function decodeV2Operation(data: Buffer): V2Operation {
  let second: Buffer | undefined;
  let clusterVersion: Buffer | undefined;
  let memberAttributes: Buffer | undefined;
  eachField(data, (tag, c) => {
    if (tag === 0x12) second = readBytes(c);
    else if (tag === (1300 << 3) + 2) clusterVersion = readBytes(c);
    else if (tag === (1301 << 3) + 2) memberAttributes = readBytes(c);
    else return false;
    return true;
  });
  if (second !== undefined) {
    const bare = METHODS.has(second.toString('latin1'));
    return { kind: 'request', request: decodeV2Request(bare ? data : second) };
  }
  if (clusterVersion !== undefined) return { kind: 'cluster-version', version: firstBytes(clusterVersion) };
  if (memberAttributes !== undefined) return { kind: 'member-attributes', memberId: firstNumber(memberAttributes) };
  return { kind: 'v3' };
}

/**
 * Decodes an etcdserverpb.Request. Its bytes share the memory of `bytes`.
 *
 * @throws FerryError `damaged` when it does not parse
 */
function decodeV2Request(bytes: Buffer): V2Request {
  const request: V2Request = {
    method: undefined,
    path: EMPTY,
    value: EMPTY,
    dir: false,
    prevValue: EMPTY,
    prevIndex: 0n,
    prevExist: undefined,
    expiration: 0n,
    recursive: false,
    time: 0n,
    refresh: false,
  };
  eachField(bytes, (tag, c) => takeField(request, tag, c));
  return request;
}

function takeField(request: V2Request, tag: number, c: Cursor): boolean {
  switch (tag) {
    case 0x12: {
      const method = readBytes(c).toString('latin1');
      request.method = METHODS.has(method) ? (method as V2Method) : undefined;
      return true;
    }
    case 0x1a:
      request.path = readBytes(c);
      return true;
    case 0x22:
      request.value = readBytes(c);
      return true;
    case 0x28:
      request.dir = readBool(c);
      return true;
    case 0x32:
      request.prevValue = readBytes(c);
      return true;
    case 0x38:
      request.prevIndex = readVarint64(c);
      return true;
    case 0x40:
      request.prevExist = readBool(c);
      return true;
    case 0x48:
      request.expiration = readInt64(c);
      return true;
    case 0x60:
      request.recursive = readBool(c);
      return true;
    case 0x78:
      request.time = readInt64(c);
      return true;
    case 0x88:
      request.refresh = readBool(c);
      return true;
    default:
      return false;
  }
}

function firstBytes(message: Buffer): Buffer {
  let found = EMPTY;
  eachField(message, (tag, c) => {
    if (tag !== 0x0a) return false;
    found = readBytes(c);
    return true;
  });
  return found;
}

function firstNumber(message: Buffer): bigint {
  let found = 0n;
  eachField(message, (tag, c) => {
    if (tag !== 0x08) return false;
    found = readVarint64(c);
    return true;
  });
  return found;
}
