import { FerryError } from '../errors.js';
import type { RecordOrder } from '../model/source.js';

/** Where key and value lie in a record; overwritten by every `scan`. An absent field is empty, at 0. */
export interface Spans {
  /** Of the varint length before the key, where one stands in the record. */
  keyLengthAt: number;
  keyStart: number;
  keyEnd: number;
  valueLengthAt: number;
  valueStart: number;
  valueEnd: number;
  /** Where the message begins: past the revision key with `order: revision`. */
  messageStart: number;
}

/** Field tags, the same in KeyValue and Node for the key. */
const KEY_TAG = 0x0a;
const VALUE_TAG_KEYVALUE = 0x2a;
const VALUE_TAG_NODE = 0x1a;

/** A revision key: 8 bytes main, `_`, 8 bytes sub, and `t` for a tombstone (etcd server/storage/mvcc/revision.go). */
const REVISION_KEY = 17;
const TOMBSTONE = 0x74;

/**
 * Finds key and value of records without decoding them: no bigint, no object, no copy. Fields may
 * stand in any order, and of several the last counts, as protobuf has it.
 */
export class RecordScanner {
  readonly spans: Spans = { keyLengthAt: 0, keyStart: 0, keyEnd: 0, valueLengthAt: 0, valueStart: 0, valueEnd: 0, messageStart: 0 };
  readonly #order: RecordOrder;
  readonly #valueTag: number;
  #at = 0;

  constructor(order: RecordOrder) {
    this.#order = order;
    this.#valueTag = order === 'tree' ? VALUE_TAG_NODE : VALUE_TAG_KEYVALUE;
  }

  /**
   * Looks through one record of `bytes` and sets `spans`.
   *
   * @throws FerryError `damaged` when it is not a message of the kind the order has
   */
  scan(bytes: Buffer, start: number, end: number): Spans {
    const spans = this.spans;
    spans.keyLengthAt = spans.keyStart = spans.keyEnd = 0;
    spans.valueLengthAt = spans.valueStart = spans.valueEnd = 0;
    spans.messageStart = this.#order === 'revision' ? skipRevisionKey(bytes, start, end) : start;
    this.#at = spans.messageStart;
    while (this.#at < end) {
      const tag = this.#varint(bytes, end);
      if ((tag & 7) !== 2) {
        this.#skip(bytes, end, tag);
        continue;
      }
      const lengthAt = this.#at;
      const from = this.#delimited(bytes, end);
      if (tag === KEY_TAG) {
        spans.keyLengthAt = lengthAt;
        spans.keyStart = from;
        spans.keyEnd = this.#at;
      } else if (tag === this.#valueTag) {
        spans.valueLengthAt = lengthAt;
        spans.valueStart = from;
        spans.valueEnd = this.#at;
      } else if (tag < 8) throw notARecord();
    }
    return spans;
  }

  /** Steps over a length and as many bytes; @returns where the bytes begin */
  #delimited(bytes: Buffer, end: number): number {
    const length = this.#varint(bytes, end);
    const from = this.#at;
    if (length > end - from) throw notARecord();
    this.#at = from + length;
    return from;
  }

  #varint(bytes: Buffer, end: number): number {
    let at = this.#at;
    let value = 0;
    let scale = 1;
    for (let i = 0; i < 8 && at < end; i++) {
      const byte = bytes[at++] as number;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        this.#at = at;
        return value;
      }
      scale *= 128;
    }
    throw notARecord();
  }

  #skip(bytes: Buffer, end: number, tag: number): void {
    if (tag < 8) throw notARecord();
    const type = tag & 7;
    if (type === 0) this.#at = skipVarint(bytes, this.#at, end);
    else if (type === 1) this.#at += 8;
    else if (type === 5) this.#at += 4;
    else throw notARecord();
    if (this.#at > end) throw notARecord();
  }
}

function skipVarint(bytes: Buffer, start: number, end: number): number {
  const limit = Math.min(end, start + 10);
  for (let at = start; at < limit; at++) if ((bytes[at] as number) < 0x80) return at + 1;
  throw notARecord();
}

function skipRevisionKey(bytes: Buffer, start: number, end: number): number {
  if (end - start < REVISION_KEY) throw notARecord();
  const past = start + REVISION_KEY;
  // No KeyValue begins with 't' (0x74): it would be the end of a group.
  return past < end && bytes[past] === TOMBSTONE ? past + 1 : past;
}

function notARecord(): FerryError {
  return new FerryError('damaged', 'is not a message of the kind it should be');
}
