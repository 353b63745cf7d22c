import { FerryError } from '../errors.js';
import type { ByteSource } from '../model/bytes.js';
import { crc32c } from './crc32c.js';
import { cursor, readBytes, readVarint, skipField } from './varint.js';

/** Kinds of WAL record (etcd server/storage/wal/wal.go). */
export const WAL_METADATA = 1;
export const WAL_ENTRY = 2;
export const WAL_STATE = 3;
const WAL_CRC = 4;
export const WAL_SNAPSHOT = 5;

/** One record; `data` shares the memory of the chunk it was read in. */
export interface WalRecord {
  readonly type: number;
  readonly data: Buffer;
}

/** Where and why the last segment ends before its last byte. */
export interface TornTail {
  readonly segment: string;
  /** Offset in the segment of the first byte that is not part of a whole record. */
  readonly offset: number;
  readonly reason: string;
}

const CHUNK = 1 << 20;
const SECTOR = 512;
const ZEROS: Buffer = Buffer.alloc(CHUNK);
const EMPTY: Buffer = Buffer.alloc(0);
/** Most bytes before the data of a record: three tags, type, CRC and a length. */
const RECORD_HEAD = 24;

/**
 * Reads the records of consecutive WAL segments, checking the CRC that runs through all of them
 * (etcd server/storage/wal/decoder.go). A last record that was not wholly written when the member
 * died is no error: see `tornTail`. In memory: a megabyte, or the largest record if that is more.
 */
export class WalReader {
  readonly #segments: readonly ByteSource[];
  #crc = 0;
  #torn: TornTail | undefined;

  /** @param segments in order of their sequence numbers, none missing */
  constructor(segments: readonly ByteSource[]) {
    this.#segments = segments;
  }

  /** Known once `records()` has ended. */
  get tornTail(): TornTail | undefined {
    return this.#torn;
  }

  /**
   * All records but the CRC records, in runs of about a megabyte.
   *
   * @throws FerryError `damaged` for a bad CRC, a record that does not parse, or a segment that is
   * cut short though another follows
   */
  async *records(): AsyncGenerator<readonly WalRecord[], void, undefined> {
    for (const [i, segment] of this.#segments.entries()) {
      yield* this.#segment(segment, i === this.#segments.length - 1);
    }
  }

  async *#segment(source: ByteSource, last: boolean): AsyncGenerator<readonly WalRecord[], void, undefined> {
    const window = new Window(source);
    let run: WalRecord[] = [];
    for (;;) {
      if (window.available < 8 && run.length > 0) {
        yield run;
        run = [];
      }
      const frame = await this.#nextFrame(window, last);
      if (frame === undefined) break;
      const record = this.#decode(frame, last);
      if (record === 'torn') break;
      window.advance(8 + frame.recordBytes + frame.padding);
      if (record !== undefined) run.push(record);
    }
    if (run.length > 0) yield run;
  }

  /** The frame at the window's place, or undefined at the end of the segment. */
  async #nextFrame(window: Window, last: boolean): Promise<Frame | undefined> {
    const { source, offset } = window;
    const left = source.size - offset;
    if (left === 0) return undefined;
    if (left < 8) return this.#cut(last, source, offset, 'a record length is cut short');
    if (window.available < 8) await window.fill(8);
    const low = window.bytes.readUInt32LE(window.at);
    const high = window.bytes.readUInt32LE(window.at + 4);
    if (low === 0 && high === 0) {
      if (last && !(await onlyZeros(source, offset))) this.#cut(last, source, offset, 'a record was never written, later bytes were');
      return undefined;
    }
    const recordBytes = (high & 0xffffff) * 2 ** 32 + low;
    const padding = high >= 0x80000000 ? (high >>> 24) & 7 : 0;
    if (recordBytes + padding > left - 8) {
      if (contradicts(await source.read(offset + 8, Math.min(left - 8, RECORD_HEAD)), recordBytes)) {
        throw damaged(source, offset, `a record of ${recordBytes} bytes is of another length by its own account`);
      }
      return this.#cut(last, source, offset, 'a record runs past the end of the file');
    }
    if (window.available < 8 + recordBytes + padding) await window.fill(8 + recordBytes + padding);
    const start = window.at + 8;
    return { source, offset, recordBytes, padding, bytes: window.bytes.subarray(start, start + recordBytes + padding) };
  }

  /** @returns the record, undefined for a CRC record that fits, or `torn` */
  #decode(frame: Frame, last: boolean): WalRecord | undefined | 'torn' {
    let record: RawRecord;
    try {
      record = decodeRecord(frame.bytes.subarray(0, frame.recordBytes));
    } catch (thrown) {
      return this.#tornOr(frame, last, FerryError.from(thrown).message);
    }
    if (record.type === WAL_CRC) {
      if (this.#crc !== 0 && record.crc !== this.#crc) {
        throw damaged(
          frame.source,
          frame.offset,
          `the segment begins with CRC ${hex(record.crc)}, the one before ends with ${hex(this.#crc)}`,
        );
      }
      this.#crc = record.crc;
      return undefined;
    }
    const crc = crc32c(record.data, this.#crc);
    if (crc !== record.crc) return this.#tornOr(frame, last, `a record's CRC is ${hex(record.crc)}, its bytes give ${hex(crc)}`);
    this.#crc = crc;
    return record;
  }

  /** etcd's own rule: what was torn by a crash has a disk sector that was never written. */
  #tornOr(frame: Frame, last: boolean, reason: string): 'torn' {
    if (!hasZeroSector(frame.bytes, frame.offset + 8)) throw damaged(frame.source, frame.offset, reason);
    this.#cut(last, frame.source, frame.offset, reason);
    return 'torn';
  }

  #cut(last: boolean, source: ByteSource, offset: number, reason: string): undefined {
    if (!last) throw damaged(source, offset, reason);
    this.#torn = { segment: source.name, offset, reason };
  }
}

interface Frame {
  readonly source: ByteSource;
  /** Of the frame's first byte in its segment. */
  readonly offset: number;
  readonly recordBytes: number;
  readonly padding: number;
  /** Record and padding. */
  readonly bytes: Buffer;
}

interface RawRecord extends WalRecord {
  readonly crc: number;
}

/** A stretch of a segment in memory; every fill takes new memory, so slices of the old stay good. */
class Window {
  readonly source: ByteSource;
  bytes: Buffer = EMPTY;
  at = 0;
  #base = 0;

  constructor(source: ByteSource) {
    this.source = source;
  }

  get available(): number {
    return this.bytes.length - this.at;
  }

  /** Offset in the file of the next byte. */
  get offset(): number {
    return this.#base + this.at;
  }

  advance(length: number): void {
    this.at += length;
  }

  /** Makes `length` bytes available; the caller has seen that the file has them. */
  async fill(length: number): Promise<void> {
    const offset = this.offset;
    this.bytes = await this.source.read(offset, Math.min(Math.max(length, CHUNK), this.source.size - offset));
    this.#base = offset;
    this.at = 0;
  }
}

/** Decodes a walpb.Record. */
function decodeRecord(bytes: Buffer): RawRecord {
  const record = { type: 0, crc: 0, data: EMPTY };
  const c = cursor(bytes);
  while (c.at < bytes.length) {
    const tag = readVarint(c);
    if (tag === 0x08) record.type = readVarint(c);
    else if (tag === 0x10) record.crc = readVarint(c);
    else if (tag === 0x1a) record.data = readBytes(c);
    else if (tag < 8) throw new FerryError('damaged', 'a protobuf field has number 0');
    else skipField(c, tag & 7);
  }
  return record;
}

/** True where type, CRC and length of the data, as etcd writes them, do not add up to the record's length: then it was not merely torn. */
function contradicts(head: Buffer, recordBytes: number): boolean {
  try {
    const c = cursor(head);
    if (readVarint(c) !== 0x08 || readVarint(c) > WAL_SNAPSHOT) return false;
    if (readVarint(c) !== 0x10 || readVarint(c) > 0xffffffff || readVarint(c) !== 0x1a) return false;
    return readVarint(c) + c.at !== recordBytes;
  } catch {
    // The head itself is torn.
    return false;
  }
}

function hasZeroSector(bytes: Buffer, offset: number): boolean {
  for (let at = 0; at < bytes.length; ) {
    const end = Math.min(bytes.length, at + SECTOR - ((offset + at) % SECTOR));
    if (bytes.compare(ZEROS, 0, end - at, at, end) === 0) return true;
    at = end;
  }
  return false;
}

async function onlyZeros(source: ByteSource, from: number): Promise<boolean> {
  for (let at = from; at < source.size; at += CHUNK) {
    const bytes = await source.read(at, Math.min(CHUNK, source.size - at));
    if (bytes.compare(ZEROS, 0, bytes.length) !== 0) return false;
  }
  return true;
}

function damaged(source: ByteSource, offset: number, reason: string): FerryError {
  return new FerryError('damaged', `${source.name}: at byte ${offset} ${reason}`, {
    hint: "Read another member's data dir, or an older copy.",
  });
}

function hex(crc: number): string {
  return crc.toString(16).padStart(8, '0');
}
