import { parseStoragePath } from '../kubernetes/storage-path.js';
import type { DiffEntry } from './diff.js';

/** How many keys differ in one group. */
export interface DiffGroup {
  /** A Kubernetes resource (`pods`, `widgets.example.com`), else the beginning of the keys (`/app/`). */
  readonly group: Buffer;
  readonly added: number;
  readonly removed: number;
  readonly changed: number;
}

type Counted = { -readonly [K in keyof DiffGroup]: DiffGroup[K] };

/** Groups counted apart; keys need not have many in common. */
const MAX_GROUPS = 1_000;
const REST = '(other)';

/** Counts differences by Kubernetes resource, and of other keys by their first part. */
export class DiffGroups {
  readonly #etcdPrefixes: readonly string[];
  readonly #groups = new Map<string, Counted>();

  constructor(etcdPrefixes: readonly string[]) {
    this.#etcdPrefixes = etcdPrefixes;
  }

  add({ key, kind }: DiffEntry): void {
    const group = groupOf(key, this.#etcdPrefixes);
    const name = group.toString('latin1');
    const known = this.#groups.has(name) || this.#groups.size < MAX_GROUPS ? name : REST;
    let counted = this.#groups.get(known);
    if (counted === undefined) {
      counted = { group: known === name ? Buffer.from(group) : Buffer.from(REST), added: 0, removed: 0, changed: 0 };
      this.#groups.set(known, counted);
    }
    counted[kind]++;
  }

  /** The groups with the most differences first. */
  list(): DiffGroup[] {
    const total = ({ added, removed, changed }: DiffGroup): number => added + removed + changed;
    return [...this.#groups.values()].sort((a, b) => total(b) - total(a) || Buffer.compare(a.group, b.group));
  }
}

function groupOf(key: Buffer, etcdPrefixes: readonly string[]): Buffer {
  const path = parseStoragePath(key, etcdPrefixes);
  if (path !== undefined) return Buffer.from(path.group === undefined ? path.resource : `${path.resource}.${path.group}`);
  const slash = key.indexOf(0x2f, 1);
  return slash < 0 ? key : key.subarray(0, slash + 1);
}
