import { FerryError } from '../errors.js';
import type { Api } from '../model/source.js';
import { cursor, readInt64, readVarint, readVarint64, skipField } from '../wire/varint.js';

/** What of a record counts beside its key, its value and (v2) whether it is a directory. */
export interface CountedParts {
  /** v3: create and mod revision, and version. v2: created and modified index. */
  readonly revisions: boolean;
  /** v3: the lease a key is attached to. v2: whether a node expires at all. Remaining TTLs never count. */
  readonly leases: boolean;
}

/** A part in which two records of one key differ; in v2's words `create` and `mod` are indices. */
export type ChangedPart = 'value' | 'dir' | 'create' | 'mod' | 'version' | 'lease';

/** The parts of one encoded record; filled again for each. */
interface Parts {
  valueStart: number;
  valueEnd: number;
  dir: boolean;
  create: bigint;
  mod: bigint;
  version: bigint;
  lease: bigint;
}

/** Looks through two records that have the same key and tells in which parts they differ. */
export class PartComparer {
  readonly #read: (bytes: Buffer, start: number, end: number, parts: Parts) => void;
  readonly #counted: CountedParts;
  readonly #left = newParts();
  readonly #right = newParts();

  constructor(api: Api, counted: CountedParts) {
    const withNumbers = counted.revisions || counted.leases;
    this.#counted = counted;
    this.#read =
      api === 'v2'
        ? (bytes, start, end, parts) => readNode(bytes, start, end, parts)
        : (bytes, start, end, parts) => readKeyValue(bytes, start, end, withNumbers, parts);
  }

  /**
   * @returns the parts that differ, of those that count; empty when none does
   * @throws FerryError `damaged` for what is no record
   */
  differing(a: Buffer, aStart: number, aEnd: number, b: Buffer, bStart: number, bEnd: number): ChangedPart[] {
    const [left, right] = [this.#left, this.#right];
    this.#read(a, aStart, aEnd, left);
    this.#read(b, bStart, bEnd, right);
    const changed: ChangedPart[] = [];
    if (left.dir !== right.dir) changed.push('dir');
    if (!sameBytes(a, left.valueStart, left.valueEnd, b, right.valueStart, right.valueEnd)) changed.push('value');
    if (this.#counted.revisions) {
      if (left.create !== right.create) changed.push('create');
      if (left.mod !== right.mod) changed.push('mod');
      if (left.version !== right.version) changed.push('version');
    }
    if (this.#counted.leases && left.lease !== right.lease) changed.push('lease');
    return changed;
  }
}

/** True when two stretches hold the same bytes. */
export function sameBytes(a: Buffer, aStart: number, aEnd: number, b: Buffer, bStart: number, bEnd: number): boolean {
  return aEnd - aStart === bEnd - bStart && (aEnd === aStart || b.compare(a, aStart, aEnd, bStart, bEnd) === 0);
}

/** `mvccpb.KeyValue` (etcd api/mvccpb/kv.proto). The numbers are stepped over where nobody asks for them. */
function readKeyValue(bytes: Buffer, start: number, end: number, withNumbers: boolean, parts: Parts): void {
  clear(parts, start);
  const c = cursor(bytes, start, end);
  while (c.at < end) {
    const tag = readVarint(c);
    if (tag === 0x2a) readValue(c, parts);
    else if (!withNumbers && (tag & 7) === 0 && tag >= 8) skipVarint(c);
    else if (tag === 0x10) parts.create = readInt64(c);
    else if (tag === 0x18) parts.mod = readInt64(c);
    else if (tag === 0x20) parts.version = readInt64(c);
    else if (tag === 0x30) parts.lease = readInt64(c);
    else skipOther(c, tag);
  }
}

/** The archive's v2 record, `Node` (docs/archive-format.md). */
function readNode(bytes: Buffer, start: number, end: number, parts: Parts): void {
  clear(parts, start);
  const c = cursor(bytes, start, end);
  while (c.at < end) {
    const tag = readVarint(c);
    if (tag === 0x1a) readValue(c, parts);
    else if (tag === 0x10) parts.dir = readVarint(c) !== 0;
    else if (tag === 0x20) parts.create = readVarint64(c);
    else if (tag === 0x28) parts.mod = readVarint64(c);
    // When it expires is a matter of time; that it does is none.
    else if (tag === 0x30) parts.lease = readInt64(c) === 0n ? 0n : 1n;
    else skipOther(c, tag);
  }
}

type Cursor = ReturnType<typeof cursor>;

function readValue(c: Cursor, parts: Parts): void {
  const length = readVarint(c);
  if (length > c.end - c.at) throw new FerryError('damaged', 'a protobuf message is cut short');
  parts.valueStart = c.at;
  c.at += length;
  parts.valueEnd = c.at;
}

/** Without the bigint that `skipField` makes. */
function skipVarint(c: Cursor): void {
  const limit = Math.min(c.end, c.at + 10);
  while (c.at < limit) if ((c.bytes[c.at++] as number) < 0x80) return;
  throw new FerryError('damaged', 'a varint is cut short or longer than 10 bytes');
}

function skipOther(c: Cursor, tag: number): void {
  if (tag < 8) throw new FerryError('damaged', 'a protobuf field has number 0');
  skipField(c, tag & 7);
}

function newParts(): Parts {
  return { valueStart: 0, valueEnd: 0, dir: false, create: 0n, mod: 0n, version: 0n, lease: 0n };
}

function clear(parts: Parts, start: number): void {
  parts.valueStart = start;
  parts.valueEnd = start;
  parts.dir = false;
  parts.create = 0n;
  parts.mod = 0n;
  parts.version = 0n;
  parts.lease = 0n;
}
