import { pause } from '../model/run.js';

/** Runs tasks side by side, so many at a time. After a failure no further one is started. */
export class Pool {
  readonly #size: number;
  readonly #running = new Set<Promise<void>>();
  #failure: { readonly thrown: unknown } | undefined;

  constructor(size: number) {
    this.#size = size;
  }

  /**
   * Starts a task as soon as there is room for it.
   *
   * @throws what an earlier task threw
   */
  async start(task: () => Promise<void>): Promise<void> {
    while (this.#running.size >= this.#size && this.#failure === undefined) await Promise.race(this.#running);
    this.#rethrow();
    const running = this.#run(task).finally(() => this.#running.delete(running));
    this.#running.add(running);
  }

  /**
   * Waits for all tasks.
   *
   * @throws what one of them threw
   */
  async finish(): Promise<void> {
    await this.settle();
    this.#rethrow();
  }

  /** Waits until no task is running, whatever became of them. */
  async settle(): Promise<void> {
    await Promise.all(this.#running);
  }

  async #run(task: () => Promise<void>): Promise<void> {
    try {
      await task();
    } catch (thrown) {
      this.#failure ??= { thrown };
    }
  }

  #rethrow(): void {
    if (this.#failure !== undefined) throw this.#failure.thrown;
  }
}

/** Lets no more than so many bytes through in a second. */
export class Pacer {
  readonly #bytesPerSecond: number | undefined;
  /** When the bytes let through so far will have had their time, by the monotonic clock. */
  #due = 0;

  /** @param bytesPerSecond unlimited when left out */
  constructor(bytesPerSecond: number | undefined) {
    this.#bytesPerSecond = bytesPerSecond;
  }

  /** Waits until `bytes` more may go. */
  async pass(bytes: number, signal: AbortSignal): Promise<void> {
    if (this.#bytesPerSecond === undefined) return;
    const now = performance.now();
    const wait = this.#due - now;
    this.#due = Math.max(this.#due, now) + (bytes * 1000) / this.#bytesPerSecond;
    if (wait > 0) await pause(wait, signal);
  }
}
