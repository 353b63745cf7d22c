import type { RecordBatch } from '../model/batch.js';
import { keyOf } from '../wire/keyvalue.js';
import { startsWith } from './prefix.js';

const SLASH = 0x2f;
const MOST_KEPT = 1_000;
const MOST_SHOWN = 3;

/**
 * Finds what there is in place of a prefix that no key begins with: of the names in the nearest directory above it those
 * that are written most alike.
 */
export class NearestPrefixes {
  readonly #prefix: Buffer;
  /** Length of the longest directory that a key has in common with the prefix. */
  #common = -1;
  #names = new Map<string, Buffer>();

  constructor(prefix: Buffer) {
    this.#prefix = prefix;
  }

  add(key: Buffer): void {
    const common = commonDirectory(this.#prefix, key);
    if (common < this.#common) return;
    if (common > this.#common) this.#names.clear();
    this.#common = common;
    if (this.#names.size >= MOST_KEPT) return;
    const name = nameAt(key, common);
    const text = name.toString('latin1');
    if (!this.#names.has(text)) this.#names.set(text, Buffer.from(name));
  }

  /** The nearest first; none where there was no key. */
  async list(): Promise<Buffer[]> {
    const { distance } = await import('fastest-levenshtein');
    const wanted = nameAt(this.#prefix, Math.max(this.#common, 0)).toString('latin1');
    // Of a directory and what is in it one is enough.
    const names = [...this.#names].filter(([text]) => !this.#names.has(`${text}/`));
    const ranked = names.map(([text, name]) => ({ name, far: distance(wanted, text) }));
    return ranked
      .sort((a, b) => a.far - b.far || Buffer.compare(a.name, b.name))
      .slice(0, MOST_SHOWN)
      .map(({ name }) => name);
  }
}

/** Which of several prefixes no key of some batches begins with; the keys in order, by which prefixes are looked for. */
export class UnmetPrefixes {
  unmet: readonly Buffer[];
  readonly #compare: (a: Buffer, b: Buffer) => number;

  constructor(prefixes: readonly Buffer[], compare: (a: Buffer, b: Buffer) => number) {
    this.unmet = prefixes;
    this.#compare = compare;
  }

  see(batch: RecordBatch): void {
    if (this.unmet.length > 0) this.unmet = this.unmet.filter((prefix) => !this.#isIn(prefix, batch));
  }

  /** The first key that does not come before a prefix begins with it, if any does. */
  #isIn(prefix: Buffer, batch: RecordBatch): boolean {
    let [low, high] = [0, batch.count];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#compare(keyOf(batch.bytes, batch.starts[middle], batch.ends[middle]), prefix) < 0) low = middle + 1;
      else high = middle;
    }
    return low < batch.count && startsWith(keyOf(batch.bytes, batch.starts[low], batch.ends[low]), prefix);
  }
}

/** Texts of a set that are written most alike. */
export async function nearestTexts(wanted: string, there: Iterable<string>): Promise<string[]> {
  const { distance } = await import('fastest-levenshtein');
  const far = (text: string): number => distance(wanted.toLowerCase(), text.toLowerCase());
  return [...there].sort((a, b) => far(a) - far(b) || (a < b ? -1 : 1)).slice(0, MOST_SHOWN);
}

function commonDirectory(a: Buffer, b: Buffer): number {
  for (let end = a.lastIndexOf(SLASH); end > 0; end = a.lastIndexOf(SLASH, end - 1)) {
    if (startsWith(b, a.subarray(0, end + 1))) return end + 1;
  }
  return 0;
}

/** A key up to the end of the name that begins there; a slash at the very beginning belongs to the name after it. */
function nameAt(key: Buffer, at: number): Buffer {
  const slash = key.indexOf(SLASH, at + (key[at] === SLASH ? 1 : 0));
  return slash < 0 ? key : key.subarray(0, slash + 1);
}
