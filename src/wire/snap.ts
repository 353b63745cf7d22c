import { FerryError } from '../errors.js';
import type { ByteSource } from '../model/bytes.js';
import { crc32c } from './crc32c.js';
import { decodeSnapshotMetadata, type SnapshotMetadata } from './raft.js';
import { type Cursor, cursor, readVarint, varintLength } from './varint.js';

/** A `.snap` file whose CRC is right: which place in the raft log it stands for, and where its state lies. */
export interface SnapFile extends SnapshotMetadata {
  readonly source: ByteSource;
  /** Offset and length in the file of the v2 store's JSON. */
  readonly stateOffset: number;
  readonly stateLength: number;
}

const CHUNK = 1 << 20;
/** A cluster's members and the like; a few hundred bytes in practice. */
const MAX_METADATA = 1 << 20;

/**
 * Checks a `.snap` file (snappb.Snapshot{crc=1, data=2} around raftpb.Snapshot{data=1, metadata=2};
 * etcd server/etcdserver/api/snap) and finds what is in it. Reads it once, a megabyte at a time.
 *
 * @throws FerryError `damaged` when it is cut short, has a wrong CRC or does not parse
 */
export async function openSnap(source: ByteSource): Promise<SnapFile> {
  const outer = await headAt(source, 0);
  if (outer.varint(0x08) === undefined) throw bad(source, 'does not begin with a CRC');
  const crc = outer.last;
  const length = outer.varint(0x12);
  if (length === undefined || crc === 0 || length === 0) throw bad(source, 'has no CRC or no data');
  if (length !== source.size - outer.at) {
    throw bad(source, `says it holds ${length} bytes of data, ${source.size - outer.at} are there`);
  }
  const found = await crcOf(source, outer.at, length);
  if (found !== crc) throw bad(source, `has CRC ${crc.toString(16)}, its bytes give ${found.toString(16)}`);
  return inner(source, outer.at);
}

async function inner(source: ByteSource, offset: number): Promise<SnapFile> {
  let at = offset;
  let [stateOffset, stateLength] = [offset, 0];
  const head = await headAt(source, at);
  const length = head.varint(0x0a);
  if (length !== undefined) {
    [stateOffset, stateLength] = [head.at, length];
    at = head.at + length;
    if (at > source.size) throw bad(source, 'has a state that runs past its end');
  }
  const next = await headAt(source, at);
  const size = next.varint(0x12);
  if (size === undefined || size > MAX_METADATA || size > source.size - next.at) throw bad(source, 'has no metadata after its state');
  return { source, ...decodeSnapshotMetadata(await source.read(next.at, size)), stateOffset, stateLength };
}

async function crcOf(source: ByteSource, offset: number, length: number): Promise<number> {
  let crc = 0;
  for (let at = 0; at < length; at += CHUNK) crc = crc32c(await source.read(offset + at, Math.min(CHUNK, length - at)), crc);
  return crc;
}

/** Reads tags and varints from the first bytes at an offset. */
class Head {
  /** Offset in the file of the next byte. */
  at: number;
  last = 0;
  readonly #cursor: Cursor;

  constructor(at: number, bytes: Buffer) {
    this.at = at;
    this.#cursor = cursor(bytes);
  }

  /** The varint after `tag`; undefined when another tag stands there. */
  varint(tag: number): number | undefined {
    const c = this.#cursor;
    if (c.at >= c.end || c.bytes[c.at] !== tag) return undefined;
    c.at++;
    this.last = readVarint(c);
    this.at += 1 + varintLength(this.last);
    return this.last;
  }
}

async function headAt(source: ByteSource, at: number): Promise<Head> {
  return new Head(at, await source.read(at, Math.min(24, source.size - at)));
}

function bad(source: ByteSource, what: string): FerryError {
  return new FerryError('damaged', `${source.name}: ${what}`);
}
