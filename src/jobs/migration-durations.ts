/** A part of a run, and how long it took. */
export interface Duration {
  /** In words for people: `reading the source`. */
  readonly phase: string;
  readonly milliseconds: number;
}

/** Takes the time of the parts of a run, one after the other. */
export class Durations {
  readonly #parts: { readonly phase: string; readonly started: number }[] = [];

  /** Ends the part before it. */
  begin(phase: string): void {
    this.#parts.push({ phase, started: performance.now() });
  }

  /** All parts; the last ends now. */
  list(): Duration[] {
    const now = performance.now();
    return this.#parts.map(({ phase, started }, i) => ({ phase, milliseconds: (this.#parts[i + 1]?.started ?? now) - started }));
  }
}
