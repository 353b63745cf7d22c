/** What records are gathered in. */
interface Gathering {
  readonly count: number;
  clear(): void;
  release(): void;
}

/** Two buffers that take turns: one is filled while the other is sorted and written away. */
export class BufferPair<B extends Gathering> {
  readonly #make: () => B;
  readonly #spill: (full: B) => Promise<void>;
  #current: B;
  #spare: B | undefined;
  #spilling: Promise<void> = Promise.resolve();
  #hasTurned = false;

  /** @param spill called for one buffer at a time, which is cleared after it */
  constructor(make: () => B, spill: (full: B) => Promise<void>) {
    this.#make = make;
    this.#spill = spill;
    this.#current = make();
  }

  /** The buffer to be filled. */
  get current(): B {
    return this.#current;
  }

  /** True once a buffer was to be written away: then not all is in memory. */
  get hasTurned(): boolean {
    return this.#hasTurned;
  }

  /** Has the current buffer written away, once the one before it is; rejects with what that failed with. */
  async turn(): Promise<void> {
    await this.#spilling;
    const full = this.#current;
    if (full.count === 0) return;
    this.#hasTurned = true;
    this.#current = this.#spare ?? this.#make();
    this.#spare = full;
    this.#spilling = this.#spill(full).then(() => full.clear());
    // Seen by the next turn.
    this.#spilling.catch(() => {});
  }

  /** Has all of it written away, and gives the memory back. */
  async flush(): Promise<void> {
    await this.turn();
    await this.#spilling;
    this.release();
  }

  /** Waits for what is under way, whatever becomes of it. */
  async settle(): Promise<void> {
    await this.#spilling.catch(() => {});
  }

  release(): void {
    this.#current.release();
    this.#spare?.release();
  }
}
