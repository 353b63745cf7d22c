import { setTimeout as sleep } from 'node:timers/promises';

/** A token bucket of one second's bytes, shared by all requests in flight. */
export class Throttle {
  readonly #rate: number;
  /** Bytes that may be read now; below zero while earlier answers are paid off. */
  #credit: number;
  #at: number;

  /** @param rate bytes per second; Infinity for no limit */
  constructor(rate: number) {
    this.#rate = rate;
    this.#credit = rate;
    this.#at = performance.now();
  }

  /** Waits until what was spent is paid off. */
  async wait(signal: AbortSignal): Promise<void> {
    if (this.#rate === Number.POSITIVE_INFINITY) return;
    this.#refill();
    while (this.#credit < 0) {
      await sleep((-this.#credit / this.#rate) * 1000, undefined, { signal });
      this.#refill();
    }
  }

  spend(bytes: number): void {
    this.#credit -= bytes;
  }

  #refill(): void {
    const now = performance.now();
    this.#credit = Math.min(this.#rate, this.#credit + ((now - this.#at) / 1000) * this.#rate);
    this.#at = now;
  }
}
