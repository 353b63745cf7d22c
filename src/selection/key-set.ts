import type { KeySelection } from '../model/source.js';
import { prefixEnd, startsWith, withoutCovered } from './prefix.js';

/** Keys from `start` up to, but not including, `end`; no `end` means to the last key. */
export interface KeyRange {
  readonly start: Buffer;
  readonly end: Buffer | undefined;
}

/** How keys get other names: the rule with the longest `from` that a key begins with, then `strip` is replaced by `add`. */
export interface Renaming {
  readonly rules: readonly { readonly from: Buffer; readonly to: Buffer }[];
  /** Keys that do not begin with it once the rules are applied have no name. */
  readonly strip: Buffer;
  readonly add: Buffer;
}

/** From this prefix on keys are in the set, or no longer, until a longer prefix says otherwise. */
interface Mark {
  readonly prefix: Buffer;
  readonly isIn: boolean;
}

/** The smallest key etcd can hold: the empty key is refused (etcd server/etcdserver/api/v3rpc/key.go). */
const FIRST_KEY: Buffer = Buffer.from([0]);
const EMPTY: Buffer = Buffer.alloc(0);

/**
 * A set of keys told by prefixes: the algebra of selections. Whatever prefixes and exclusions say, and whatever
 * renaming makes of it, is such a set; so are intersections, unions and differences.
 *
 * Held as prefixes in ascending order, each of which turns the state of the prefix it lies under; a key has the state of
 * the longest one it begins with, and is not in the set without any.
 */
export class KeySet {
  static get nothing(): KeySet {
    return NOTHING;
  }

  static get everything(): KeySet {
    return EVERY_KEY;
  }

  readonly #marks: readonly Mark[];

  private constructor(marks: readonly Mark[]) {
    this.#marks = marks;
  }

  /** The keys that a selection chooses. */
  static of({ prefixes, excludePrefixes }: KeySelection): KeySet {
    const chosen = prefixes.length === 0 ? KeySet.everything : KeySet.under(prefixes);
    return excludePrefixes.length === 0 ? chosen : chosen.without(KeySet.under(excludePrefixes));
  }

  /** All keys that begin with one of the prefixes. */
  static under(prefixes: readonly Buffer[]): KeySet {
    return new KeySet(withoutCovered(prefixes).map((prefix) => ({ prefix, isIn: true })));
  }

  /** Whether no key at all can be in it. */
  get isEmpty(): boolean {
    return this.#marks.length === 0;
  }

  /** Whether every key is in it. */
  get isEverything(): boolean {
    const [first, ...more] = this.#marks;
    return first !== undefined && first.prefix.length === 0 && more.length === 0;
  }

  has(key: Buffer): boolean {
    // Of the prefixes a key begins with the longest sorts last.
    return this.#marks.findLast(({ prefix }) => startsWith(key, prefix))?.isIn ?? false;
  }

  /** The keys that are in both. */
  intersect(other: KeySet): KeySet {
    return this.#combine(other, (a, b) => a && b);
  }

  /** The keys that are in either. */
  union(other: KeySet): KeySet {
    return this.#combine(other, (a, b) => a || b);
  }

  /** The keys that are not in the other. */
  without(other: KeySet): KeySet {
    return this.#combine(other, (a, b) => a && !b);
  }

  /** Whether every key of the other is in this one. */
  contains(other: KeySet): boolean {
    return other.without(this).isEmpty;
  }

  /** Whether any key that begins with the prefix is in it. */
  meets(prefix: Buffer): boolean {
    return !this.intersect(KeySet.under([prefix])).isEmpty;
  }

  /** The names that its keys get. */
  renamed({ rules, strip, add }: Renaming): KeySet {
    const froms = rules.map(({ from }) => from);
    const unchanged = this.without(KeySet.under(froms));
    const changed = rules.map(({ from, to }) => {
      const longer = froms.filter((other) => other.length > from.length && startsWith(other, from));
      return this.intersect(KeySet.under([from]).without(KeySet.under(longer))).#swapped(from, to);
    });
    const named = changed.reduce((all, some) => all.union(some), unchanged);
    return named.intersect(KeySet.under([strip])).#swapped(strip, add);
  }

  /**
   * A selection that chooses these keys. A selection cannot choose again within what it excludes: such keys are left out,
   * so that no more is chosen than there is in the set.
   */
  selection(): KeySelection {
    if (this.isEmpty) return { prefixes: [EMPTY], excludePrefixes: [EMPTY] };
    const prefixes = this.prefixes();
    const excludePrefixes = withoutCovered(this.#marks.filter(({ isIn }) => !isIn).map(({ prefix }) => prefix));
    return { prefixes: prefixes.some(({ length }) => length === 0) ? [] : prefixes, excludePrefixes };
  }

  /** The fewest prefixes that one of its keys begins with each, in ascending order: there may be others under them. */
  prefixes(): Buffer[] {
    return withoutCovered(this.#marks.map(({ prefix }) => prefix));
  }

  /** Disjoint ranges, in key order, that hold its keys and no other. */
  ranges(): KeyRange[] {
    const ranges: KeyRange[] = [];
    const add = (start: Buffer, end: Buffer | undefined): void => {
      const last = ranges.at(-1);
      if (end !== undefined && Buffer.compare(start, end) >= 0) return;
      if (last?.end?.equals(start)) ranges[ranges.length - 1] = { start: last.start, end };
      else ranges.push({ start, end });
    };
    // What is open, from the shortest prefix to the longest, and how far keys are accounted for.
    const open: Mark[] = [];
    let at: Buffer | undefined = FIRST_KEY;
    const goTo = (end: Buffer | undefined): void => {
      if (at !== undefined && open.at(-1)?.isIn === true) add(at, end);
      at = end;
    };
    const close = (): void => goTo(prefixEnd((open.at(-1) as Mark).prefix));
    for (const mark of this.#marks) {
      for (; open.length > 0 && !startsWith(mark.prefix, (open.at(-1) as Mark).prefix); open.pop()) close();
      goTo(mark.prefix.length === 0 ? FIRST_KEY : mark.prefix);
      open.push(mark);
    }
    for (; open.length > 0; open.pop()) close();
    return ranges;
  }

  #combine(other: KeySet, isIn: (here: boolean, there: boolean) => boolean): KeySet {
    const prefixes = [...this.#marks, ...other.#marks].map(({ prefix }) => prefix).sort(Buffer.compare);
    const marks: Mark[] = [];
    const above: Mark[] = [];
    for (const prefix of prefixes) {
      while (above.length > 0 && !startsWith(prefix, (above.at(-1) as Mark).prefix)) above.pop();
      const mark = { prefix, isIn: isIn(this.has(prefix), other.has(prefix)) };
      if (mark.isIn === (above.at(-1)?.isIn ?? false)) continue;
      above.push(mark);
      marks.push(mark);
    }
    return new KeySet(marks);
  }

  /** One prefix in place of another that all its keys begin with. */
  #swapped(from: Buffer, to: Buffer): KeySet {
    if (from.equals(to)) return this;
    return new KeySet(this.#marks.map(({ prefix, isIn }) => ({ prefix: Buffer.concat([to, prefix.subarray(from.length)]), isIn })));
  }
}

/** Outside of the class: what the compiler makes of static fields that construct the class fails when it is loaded (TypeScript 5). */
const NOTHING = KeySet.under([]);
const EVERY_KEY = KeySet.under([EMPTY]);
