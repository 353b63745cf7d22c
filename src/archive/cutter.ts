import { varintLength, writeVarint } from '../wire/varint.js';
import { SEGMENT_BOUND } from './format.js';

/** A run of framed messages: `bytes` up to `end`. */
export interface FramedRun {
  readonly bytes: Buffer;
  readonly end: number;
}

/**
 * Gathers messages, each behind its varint length, into runs of at most 8 MiB. A larger message gets
 * a run of its own. The cut depends on the messages alone, never on how they arrived.
 */
export class SegmentCutter {
  readonly #free: Buffer[] = [];
  #bytes: Buffer | undefined;
  #at = 0;

  /** True when a message of this length, in bytes, ends the run gathered so far. */
  isFull(length: number): boolean {
    return this.#at > 0 && this.#at + varintLength(length) + length > SEGMENT_BOUND;
  }

  /**
   * Copies one message behind the others; to be called when the run is not full.
   *
   * @returns the buffer it was copied to, and where in it the message lies
   */
  add(bytes: Buffer, start: number, end: number): { bytes: Buffer; start: number; end: number } {
    const length = end - start;
    const target = this.#target(varintLength(length) + length);
    const at = writeVarint(target, this.#at, length);
    bytes.copy(target, at, start, end);
    this.#at = at + length;
    return { bytes: target, start: at, end: this.#at };
  }

  /** @returns the run gathered so far, if any; the next message begins another one */
  take(): FramedRun | undefined {
    const bytes = this.#bytes;
    if (bytes === undefined || this.#at === 0) return undefined;
    const run = { bytes, end: this.#at };
    this.#bytes = undefined;
    this.#at = 0;
    return run;
  }

  /** Gives a run's memory back, to be used for another one. */
  release(run: FramedRun): void {
    if (run.bytes.length === SEGMENT_BOUND) this.#free.push(run.bytes);
  }

  #target(needed: number): Buffer {
    this.#bytes ??= needed > SEGMENT_BOUND ? Buffer.allocUnsafeSlow(needed) : (this.#free.pop() ?? Buffer.allocUnsafeSlow(SEGMENT_BOUND));
    return this.#bytes;
  }
}
