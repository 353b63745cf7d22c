/** How long what is left to do after a signal (clearing up) may take, in milliseconds. */
const GRACE = 2_500;

/**
 * Tells which signal ends a request that begins now: that of the run; once that is aborted, and what is asked can only
 * be for clearing up, one that follows two and a half seconds after it.
 */
export class StopSignal {
  readonly #signal: AbortSignal | undefined;
  #grace: AbortSignal | undefined;

  /** @param signal of the run, aborted by SIGINT and SIGTERM */
  constructor(signal: AbortSignal | undefined) {
    this.#signal = signal;
    const begin = (): void => {
      this.#grace = AbortSignal.timeout(GRACE);
    };
    if (signal?.aborted === true) begin();
    else signal?.addEventListener('abort', begin, { once: true });
  }

  get now(): AbortSignal | undefined {
    return this.#grace ?? this.#signal;
  }
}
