import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type KeyMapping, keyMapping } from '../../src/convert/key-mapping.js';
import type { KeySelection } from '../../src/model/source.js';
import { KeySet } from '../../src/selection/key-set.js';
import { startsWith } from '../../src/selection/prefix.js';
import { isSelected } from '../../src/selection/select.js';

const LETTERS = ['a', 'b'];

/** Every sequence of up to so many letters, the empty one too. */
function keysUpTo(length: number): Buffer[] {
  const keys: string[] = [''];
  for (let of = keys; of[0] !== undefined && of[0].length < length; keys.push(...of))
    of = of.flatMap((key) => LETTERS.map((letter) => key + letter));
  return keys.map((key) => Buffer.from(key));
}

const FEW = keysUpTo(3);
/** Long enough that every prefix which a set below is told by is among them, and every key that a short name can come from. */
const MANY = keysUpTo(8);

function members(keys: readonly Buffer[], isIn: (key: Buffer) => boolean): string[] {
  return keys.filter(isIn).map(String);
}

const text = (most: number): fc.Arbitrary<Buffer> =>
  fc.array(fc.constantFrom(...LETTERS), { maxLength: most }).map((letters) => Buffer.from(letters.join('')));
const selection: fc.Arbitrary<KeySelection> = fc.record({
  prefixes: fc.array(text(3), { maxLength: 3 }),
  excludePrefixes: fc.array(text(3), { maxLength: 3 }),
});
const rule = fc.record({ from: text(2).filter(({ length }) => length > 0), to: text(2) });
const mapping = fc
  .record({ rules: fc.uniqueArray(rule, { maxLength: 3, selector: ({ from }) => from.toString() }), strip: text(2), add: text(2) })
  .map(({ rules, strip, add }) => keyMapping(rules, strip, add));

/** The most general sets: those of selections, put together and renamed. */
const keySet: fc.Arbitrary<KeySet> = fc
  .tuple(selection, selection, mapping, fc.constantFrom('intersect', 'union', 'without'))
  .map(([a, b, names, combine]) => names.mapSet(KeySet.of(a)[combine as 'union'](KeySet.of(b))));

function nameOf(names: KeyMapping, key: Buffer): string | undefined {
  try {
    return names.mapKey(key).toString();
  } catch {
    return undefined;
  }
}

describe('a set of keys', () => {
  it('holds the keys that its selection chooses', () => {
    fc.assert(
      fc.property(selection, (chosen) => {
        const keys = KeySet.of(chosen);
        expect(members(MANY, (key) => keys.has(key))).toEqual(members(MANY, (key) => isSelected(key, chosen)));
      }),
    );
  });

  it('is intersected, united and subtracted as sets of single keys are', () => {
    fc.assert(
      fc.property(keySet, keySet, (a, b) => {
        const [both, either, rest] = [a.intersect(b), a.union(b), a.without(b)];
        expect(members(MANY, (key) => both.has(key))).toEqual(members(MANY, (key) => a.has(key) && b.has(key)));
        expect(members(MANY, (key) => either.has(key))).toEqual(members(MANY, (key) => a.has(key) || b.has(key)));
        expect(members(MANY, (key) => rest.has(key))).toEqual(members(MANY, (key) => a.has(key) && !b.has(key)));
      }),
    );
  });

  it('is empty, contains another and meets a prefix just when its keys say so', () => {
    fc.assert(
      fc.property(keySet, keySet, text(3), (a, b, prefix) => {
        expect(a.isEmpty).toBe(!MANY.some((key) => a.has(key)));
        expect(a.contains(b)).toBe(!MANY.some((key) => b.has(key) && !a.has(key)));
        expect(a.meets(prefix)).toBe(MANY.some((key) => startsWith(key, prefix) && a.has(key)));
        if (a.isEverything) expect(MANY.every((key) => a.has(key))).toBe(true);
      }),
    );
  });

  it('holds after renaming the names of its keys, and no other', () => {
    fc.assert(
      fc.property(selection, selection, mapping, (a, b, names) => {
        const keys = KeySet.of(a).union(KeySet.of(b));
        const wanted = new Set(MANY.filter((key) => keys.has(key)).map((key) => nameOf(names, key)));
        const renamed = names.mapSet(keys);
        const named = FEW.filter(({ length }) => length > 0);
        expect(members(named, (name) => renamed.has(name))).toEqual(members(named, (name) => wanted.has(name.toString())));
      }),
      { numRuns: 300 },
    );
  });

  it('never chooses more by its selection than it holds, and just as much where a selection can say it', () => {
    fc.assert(
      fc.property(keySet, selection, (keys, chosen) => {
        const said = keys.selection();
        expect(MANY.some((key) => isSelected(key, said) && !keys.has(key))).toBe(false);
        const simple = KeySet.of(chosen).selection();
        expect(members(MANY, (key) => isSelected(key, simple))).toEqual(members(MANY, (key) => isSelected(key, chosen)));
      }),
    );
  });

  it('has disjoint ranges in key order that hold its keys and no other', () => {
    fc.assert(
      fc.property(keySet, (keys) => {
        const ranges = keys.ranges();
        const held = (key: Buffer): number =>
          ranges.filter(({ start, end }) => Buffer.compare(start, key) <= 0 && (end === undefined || Buffer.compare(key, end) < 0)).length;
        const all = MANY.filter(({ length }) => length > 0);
        expect(members(all, (key) => held(key) === 1)).toEqual(members(all, (key) => keys.has(key)));
        expect(all.some((key) => held(key) > 1)).toBe(false);
        const ends = ranges.flatMap(({ start, end }) => (end === undefined ? [start] : [start, end]));
        expect(ends).toEqual([...ends].sort(Buffer.compare));
      }),
    );
  });

  it('says of nothing that it is nothing, though no prefix at all means everything', () => {
    const said = KeySet.nothing.selection();
    expect(KeySet.of(said).isEmpty).toBe(true);
    expect(isSelected(Buffer.from('a'), said)).toBe(false);
    expect(KeySet.of({ prefixes: [], excludePrefixes: [] }).isEverything).toBe(true);
    expect(KeySet.nothing.ranges()).toEqual([]);
  });
});
