import type { KeyRange } from '../wire/raft-v3.js';
import { tooLarge } from './raft-log.js';

/** What is known of a live key. */
export interface KeyState {
  readonly createRevision: bigint;
  readonly modRevision: bigint;
  readonly version: bigint;
  /** 0n for none. */
  readonly lease: bigint;
  /** Undefined where nothing in the tail asks for it. */
  readonly value: Buffer | undefined;
}

/** What holding a key costs beside its name and value, in bytes, roughly. */
const KEY_OVERHEAD = 400;

/** Those live keys that a WAL's tail may look at or change. Keys are latin-1 strings, a character per byte. */
export class V3Keyspace {
  readonly #states = new Map<string, KeyState>();
  /** Every key there ever was, sorted; some may be deleted. */
  #sorted: string[] = [];
  readonly #maxMemory: number;
  #memory = 0;

  constructor(maxMemory: number) {
    this.#maxMemory = maxMemory;
  }

  get(key: string): KeyState | undefined {
    return this.#states.get(key);
  }

  set(key: string, state: KeyState): void {
    if (!this.#states.has(key)) {
      const at = this.#firstFrom(key);
      if (this.#sorted[at] !== key) this.#sorted.splice(at, 0, key);
    }
    this.load(key, state);
  }

  delete(key: string): void {
    const state = this.#states.get(key);
    if (state === undefined) return;
    this.#states.delete(key);
    this.#memory -= costOf(key, state);
  }

  /** As `set`, while filling: `sort` must follow before a range is asked for. */
  load(key: string, state: KeyState): void {
    this.delete(key);
    this.#states.set(key, state);
    this.reserve(costOf(key, state));
  }

  sort(): void {
    this.#sorted = [...this.#states.keys()].sort();
  }

  /**
   * A keyspace of its own with the same keys.
   *
   * @throws FerryError `failed` when both take too much memory
   */
  copy(): V3Keyspace {
    const copy = new V3Keyspace(this.#maxMemory);
    copy.reserve(this.#memory);
    for (const [key, state] of this.#states) copy.load(key, state);
    copy.#sorted = [...this.#sorted];
    return copy;
  }

  entries(): IterableIterator<[string, KeyState]> {
    return this.#states.entries();
  }

  /** The live keys in a range, in order. */
  range({ key, end }: KeyRange): string[] {
    const from = key.toString('latin1');
    if (end === undefined) return this.#states.has(from) ? [from] : [];
    const to = end.length === 0 ? this.#sorted.length : this.#firstFrom(end.toString('latin1'));
    return this.#sorted.slice(this.#firstFrom(from), to).filter((name) => this.#states.has(name));
  }

  /** Reckons with memory taken elsewhere. @throws FerryError `failed` when it is too much */
  reserve(bytes: number): void {
    this.#memory += bytes;
    if (this.#memory > this.#maxMemory) throw tooLarge(this.#maxMemory);
  }

  /** Index of the first sorted key that is not before `key`. */
  #firstFrom(key: string): number {
    let [low, high] = [0, this.#sorted.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#sorted[middle] as string) < key) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function costOf(key: string, state: KeyState): number {
  return KEY_OVERHEAD + 2 * key.length + (state.value?.length ?? 0);
}
