import { createHash, type Hash } from 'node:crypto';
import { varintLength, writeVarint } from '../wire/varint.js';
import { DIGEST_RUN } from './format.js';
import type { ContentDigests } from './manifest.js';
import type { Spans } from './spans.js';

/** Gathered before it is hashed: each call of `update` costs about half a microsecond. */
const SCRATCH = 256 * 1024;
/** Larger values are hashed where they lie. */
const LARGE = 32 * 1024;

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
  readonly #scratch: Buffer = Buffer.allocUnsafeSlow(SCRATCH);
  #used = 0;

  /**
   * Takes the next record. Records of one buffer lie one behind the other, each after its length.
   *
   * @param end just past the record in `bytes`
   * @param spans where its key and value lie
   */
  add(bytes: Buffer, end: number, spans: Spans): void {
    this.#gather(bytes, spans.keyLengthAt, spans.keyStart, spans.keyEnd);
    this.#gather(bytes, spans.valueLengthAt, spans.valueStart, spans.valueEnd);
    this.#inRun++;
    if (this.#inRun < DIGEST_RUN) return;
    this.#take(bytes, end);
    this.#from = end;
    this.#closeRun();
  }

  /** To be called when a buffer has been used up, before its memory is used again. */
  leave(bytes: Buffer, end: number): void {
    this.#take(bytes, end);
    this.#from = 0;
  }

  /** Both digests in hex; nothing may be added after. */
  finish(): ContentDigests {
    if (this.#inRun > 0) this.#closeRun();
    return { records: this.#records.finish(), values: this.#values.finish() };
  }

  #take(bytes: Buffer, end: number): void {
    if (end > this.#from) this.#records.update(bytes.subarray(this.#from, end));
  }

  /** Length and bytes stand side by side in the message; they are copied as they are when the length is in its shortest form. */
  #gather(bytes: Buffer, lengthAt: number, start: number, end: number): void {
    const length = end - start;
    if (this.#used + length + 8 > SCRATCH) this.#flush();
    if (start - lengthAt !== varintLength(length) || length > LARGE) {
      this.#used = writeVarint(this.#scratch, this.#used, length);
      if (length > LARGE) {
        this.#flush();
        this.#values.update(bytes.subarray(start, end));
        return;
      }
      bytes.copy(this.#scratch, this.#used, start, end);
      this.#used += length;
      return;
    }
    bytes.copy(this.#scratch, this.#used, lengthAt, end);
    this.#used += end - lengthAt;
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
