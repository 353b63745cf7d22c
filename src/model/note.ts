/**
 * Something a run wants known at its end. A lossy note (a record known to be there was left out or
 * altered without being asked for) makes the exit status 3; any other is for information.
 */
export interface Note {
  /** A fixed name in kebab-case, for scripts: `lease-vanished`, `empty-directory`. */
  readonly code: string;
  /** One line for people, without the count. */
  readonly message: string;
  /** How many times it happened. */
  readonly count: number;
  /** The first few things it happened to, as text. */
  readonly examples: readonly string[];
  readonly lossy: boolean;
}

const EXAMPLES_KEPT = 5;

interface Entry {
  message: string;
  count: number;
  examples: string[];
  lossy: boolean;
}

/** Collects notes by code: the first message stands, counts add up, a few examples are kept. */
export class NoteBook {
  readonly #entries = new Map<string, Entry>();

  /** @param example what it happened to (a key, a lease id); the first five are kept */
  add(code: string, message: string, options: { lossy?: boolean; example?: string; count?: number } = {}): void {
    let entry = this.#entries.get(code);
    if (entry === undefined) {
      entry = { message, count: 0, examples: [], lossy: options.lossy ?? false };
      this.#entries.set(code, entry);
    }
    entry.count += options.count ?? 1;
    if (options.example !== undefined && entry.examples.length < EXAMPLES_KEPT) entry.examples.push(options.example);
  }

  /** Takes over the notes of another book or report. */
  merge(notes: Iterable<Note>): void {
    for (const note of notes) {
      const { examples, ...rest } = note;
      this.add(note.code, note.message, { lossy: rest.lossy, count: rest.count });
      const entry = this.#entries.get(note.code) as Entry;
      entry.examples.push(...examples.slice(0, EXAMPLES_KEPT - entry.examples.length));
    }
  }

  list(): Note[] {
    return [...this.#entries].map(([code, entry]) => ({ code, ...entry, examples: [...entry.examples] }));
  }

  get lossy(): boolean {
    return [...this.#entries.values()].some((entry) => entry.lossy);
  }
}
