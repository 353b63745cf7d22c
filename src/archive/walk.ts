import { FerryError } from '../errors.js';
import type { RecordOrder } from '../model/source.js';
import { DigestTaker } from './digests.js';
import type { ContentDigests } from './manifest.js';
import { compareSpans } from './order.js';
import { RecordScanner } from './spans.js';

const EMPTY: Buffer = Buffer.alloc(0);

/**
 * Goes along with all records of an archive, whether they are being written or proven: holds them to
 * their order, takes the digests, and knows the first and last key of each buffer.
 */
export class RecordWalk {
  readonly #order: RecordOrder;
  readonly #scanner: RecordScanner;
  readonly #digests = new DigestTaker();
  /** The key before: in the current buffer, or a copy once that was left. */
  #last: Buffer = EMPTY;
  #lastStart = 0;
  #lastEnd = 0;
  #firstStart = 0;
  #firstEnd = 0;
  #inBuffer = 0;
  #records = 0;

  constructor(order: RecordOrder) {
    this.#order = order;
    this.#scanner = new RecordScanner(order);
  }

  /** Records seen so far. */
  get records(): number {
    return this.#records;
  }

  /**
   * Takes the next record. Records of one buffer lie one behind the other, each after its varint length.
   *
   * @throws FerryError `damaged` when it is not a record or not after the one before; its number stands in the message
   */
  add(bytes: Buffer, start: number, end: number): void {
    const spans = this.#scan(bytes, start, end);
    const byRevision = this.#order === 'revision';
    const keyStart = byRevision ? start : spans.keyStart;
    const keyEnd = byRevision ? spans.messageStart : spans.keyEnd;
    if (this.#records > 0 && compareSpans(this.#order, this.#last, this.#lastStart, this.#lastEnd, bytes, keyStart, keyEnd) >= 0) {
      throw new FerryError('damaged', `record ${this.#records} does not come after the one before it, in ${this.#order} order`);
    }
    if (this.#inBuffer === 0) {
      this.#firstStart = keyStart;
      this.#firstEnd = keyEnd;
    }
    this.#last = bytes;
    this.#lastStart = keyStart;
    this.#lastEnd = keyEnd;
    this.#inBuffer++;
    this.#records++;
    this.#digests.add(bytes, end, spans);
  }

  /**
   * To be called when a buffer with at least one record has been used up, before its memory is used again.
   *
   * @param end just past its last record
   * @returns copies of its first and last key
   */
  leave(bytes: Buffer, end: number): { firstKey: Buffer; lastKey: Buffer; records: number } {
    const records = this.#inBuffer;
    const firstKey = Buffer.from(bytes.subarray(this.#firstStart, this.#firstEnd));
    const lastKey = Buffer.from(bytes.subarray(this.#lastStart, this.#lastEnd));
    this.#digests.leave(bytes, end);
    this.#last = lastKey;
    this.#lastStart = 0;
    this.#lastEnd = lastKey.length;
    this.#inBuffer = 0;
    return { firstKey, lastKey, records };
  }

  /** Both content digests; nothing may be added after. */
  finish(): ContentDigests {
    return this.#digests.finish();
  }

  #scan(bytes: Buffer, start: number, end: number): RecordScanner['spans'] {
    try {
      return this.#scanner.scan(bytes, start, end);
    } catch (cause) {
      const kind = this.#order === 'tree' ? 'Node' : 'KeyValue';
      throw new FerryError('damaged', `record ${this.#records} is not a ${kind} message`, { cause });
    }
  }
}
