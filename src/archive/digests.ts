import { createHash, type Hash } from 'node:crypto';
import { varintLength, writeVarint } from '../wire/varint.js';
import { DIGEST_RUN } from './format.js';
import type { ContentDigests } from './manifest.js';
import type { Spans } from './spans.js';

/** Gathered before it is hashed: each call of `update` costs about half a microsecond. */
const SCRATCH = 128 * 1024;
/** Records are brought into the scratch's memory in pieces of so many bytes, and moved within it: copies between two memories cost more each. */
const WINDOW = 128 * 1024;
/** Larger values are hashed where they lie. */
const LARGE = 32 * 1024;
/** Records whose keys and values are gathered at once. */
const TOGETHER = 256;
/** Numbers kept of a record: length, start and end of its key, and of its value. */
const SPAN_NUMBERS = 6;

/**
 * The two content digests, taken as records go by: SHA-256 over the concatenated SHA-256s of runs of
 * 4,096 consecutive records. `records` covers each record's varint length and message; `values` its
 * key and value, each behind its varint length. How records were cut into batches or segments
 * shows in neither.
 */
export class DigestTaker {
  #records = new Runs();
  #values = new Runs();
  #inRun = 0;
  /** Where bytes of the current buffer not yet in `records` begin. */
  #from = 0;
  /** Of the current buffer: where keys and values lie that are not yet in `values`. */
  readonly #spans = new Uint32Array(TOGETHER * SPAN_NUMBERS);
  #waiting = 0;
  /** What is to be hashed, and behind it the window. */
  readonly #scratch: Buffer = Buffer.allocUnsafe(SCRATCH + WINDOW);
  #used = 0;
  /** The part of the current buffer that is in the window. */
  #windowFrom = 0;
  #windowTo = 0;

  /**
   * Takes the next record. Records of one buffer lie one behind the other, each after its length, and
   * stay as they are until the buffer is left.
   *
   * @param end just past the record in `bytes`
   * @param spans where its key and value lie
   */
  add(bytes: Buffer, end: number, spans: Spans): void {
    const all = this.#spans;
    let at = this.#waiting * SPAN_NUMBERS;
    all[at++] = spans.keyLengthAt;
    all[at++] = spans.keyStart;
    all[at++] = spans.keyEnd;
    all[at++] = spans.valueLengthAt;
    all[at++] = spans.valueStart;
    all[at] = spans.valueEnd;
    this.#waiting++;
    this.#inRun++;
    if (this.#waiting === TOGETHER || this.#inRun === DIGEST_RUN) this.#take(bytes, end);
    if (this.#inRun === DIGEST_RUN) this.#closeRun();
  }

  /** To be called when a buffer has been used up, before its memory is used again. */
  leave(bytes: Buffer, end: number): void {
    this.#take(bytes, end);
    this.#from = 0;
    this.#windowFrom = 0;
    this.#windowTo = 0;
  }

  /** Both digests in hex; nothing may be added after. */
  finish(): ContentDigests {
    if (this.#inRun > 0) this.#closeRun();
    return { records: this.#records.finish(), values: this.#values.finish() };
  }

  #take(bytes: Buffer, end: number): void {
    if (end > this.#from) this.#records.update(bytes.subarray(this.#from, end));
    this.#from = end;
    const spans = this.#spans;
    for (let at = 0; at < this.#waiting * SPAN_NUMBERS; at += 3) {
      this.#gather(bytes, spans[at] as number, spans[at + 1] as number, spans[at + 2] as number, end);
    }
    this.#waiting = 0;
  }

  /**
   * Length and bytes stand side by side in the message; they are copied as they are when the length is in its shortest form.
   *
   * @param limit just past the last byte of the buffer that is there
   */
  #gather(bytes: Buffer, lengthAt: number, start: number, end: number, limit: number): void {
    const length = end - start;
    if (this.#used + length + 8 > SCRATCH) this.#flush();
    const asItIs = start - lengthAt === varintLength(length);
    if (!asItIs) this.#used = writeVarint(this.#scratch, this.#used, length);
    const from = asItIs ? lengthAt : start;
    if (end - from > LARGE) {
      this.#flush();
      this.#values.update(bytes.subarray(from, end));
      return;
    }
    if (from < this.#windowFrom || end > this.#windowTo) {
      this.#windowFrom = from;
      this.#windowTo = Math.min(limit, from + WINDOW);
      bytes.copy(this.#scratch, SCRATCH, from, this.#windowTo);
    }
    const at = SCRATCH + from - this.#windowFrom;
    this.#scratch.copyWithin(this.#used, at, at + end - from);
    this.#used += end - from;
  }

  #flush(): void {
    if (this.#used > 0) this.#values.update(this.#scratch.subarray(0, this.#used));
    this.#used = 0;
  }

  #closeRun(): void {
    this.#flush();
    this.#records.close();
    this.#values.close();
    this.#inRun = 0;
  }
}

/** A hash over the hashes of runs. */
class Runs {
  readonly #all: Hash = createHash('sha256');
  #run: Hash = createHash('sha256');

  update(bytes: Uint8Array): void {
    this.#run.update(bytes);
  }

  close(): void {
    this.#all.update(this.#run.digest());
    this.#run = createHash('sha256');
  }

  finish(): string {
    return this.#all.digest('hex');
  }
}
