import { FerryError } from '../errors.js';
import type { KeySelection } from '../model/source.js';
import { KeySet } from '../selection/key-set.js';
import { startsWith, withoutCovered } from '../selection/prefix.js';
import { showKey } from './key-text.js';

/** What the user asked for, as typed: `--map OLD=NEW` (repeatable), `--strip-prefix P`, `--add-prefix P`. */
export interface KeyMappingFlags {
  readonly map?: readonly string[];
  readonly stripPrefix?: string;
  readonly addPrefix?: string;
}

/**
 * How keys are renamed on their way to the target: first the `--map` rule with the longest OLD that
 * the key begins with puts NEW in its place, then the strip prefix is taken off, then the add
 * prefix is put on. Bytes only: it serves v3 keys and v2 paths.
 */
export interface KeyMapping {
  /** True when every key stays as it is. */
  readonly identity: boolean;
  /** True when every key has a name in the target, and no two the same, whatever the keys. */
  readonly keepsApart: boolean;
  /**
   * The key's name in the target.
   *
   * @throws FerryError `usage` when the key is not under the strip prefix, or nothing would be left of it
   */
  mapKey(key: Buffer): Buffer;
  /**
   * The prefixes of the target that keys under `prefix` can come to lie under, in ascending order
   * and none covered by another.
   */
  mapPrefix(prefix: Buffer): Buffer[];
  /** The keys that get this name in the target. */
  keysNamed(name: Buffer): Buffer[];
  /** The names in the target that the keys of a set get. */
  mapSet(keys: KeySet): KeySet;
  /**
   * Number of sets the keys fall into, so that renaming keeps the order of the keys of each set:
   * those of each `--map` rule, and the rest.
   */
  readonly pieces: number;
  /** Which of them a key belongs to, from 0. */
  pieceOf(key: Buffer): number;
  /** The `--map` rules; rule i renames the keys of piece i + 1. */
  readonly rules: readonly MapRule[];
}

/** One prefix in place of another. */
export interface MapRule {
  readonly from: Buffer;
  readonly to: Buffer;
}

/** The mapping that changes nothing. */
export const SAME_KEYS: KeyMapping = {
  identity: true,
  keepsApart: true,
  pieces: 1,
  mapKey: (key) => key,
  mapPrefix: (prefix) => [prefix],
  keysNamed: (name) => [name],
  mapSet: (keys) => keys,
  pieceOf: () => 0,
  rules: [],
};

/**
 * Reads a key mapping as typed. Text is taken as UTF-8; OLD ends at the first `=`.
 *
 * @throws FerryError `usage` for a rule without `=`, with an empty OLD, or given twice
 */
export function parseKeyMapping(flags: KeyMappingFlags): KeyMapping {
  const rules = (flags.map ?? []).map(parseRule);
  const seen = new Set<string>();
  for (const { from } of rules) {
    const name = from.toString('latin1');
    if (seen.has(name)) throw new FerryError('usage', `--map ${from.toString()}=… is given twice`, { hint: 'Give each OLD prefix once.' });
    seen.add(name);
  }
  return keyMapping(rules, Buffer.from(flags.stripPrefix ?? ''), Buffer.from(flags.addPrefix ?? ''));
}

/**
 * A key mapping made of bytes, for prefixes that are not text.
 *
 * @param rules prefix for prefix; the longest `from` that fits wins
 */
export function keyMapping(rules: readonly MapRule[], strip: Buffer, add: Buffer): KeyMapping {
  if (strip.length === 0 && add.length === 0 && rules.every(({ from, to }) => from.equals(to))) return SAME_KEYS;
  const longestFirst = [...rules].sort((a, b) => b.from.length - a.from.length);
  return {
    identity: false,
    keepsApart: rules.length === 0 && strip.length === 0,
    pieces: rules.length + 1,
    rules: longestFirst,
    pieceOf: (key) => 1 + longestFirst.findIndex(({ from }) => startsWith(key, from)),
    mapKey(key) {
      const renamed = rename(key, longestFirst);
      if (!startsWith(renamed, strip)) throw notUnderStrip(key, renamed, strip);
      if (strip.length === 0 && add.length === 0) return named(key, renamed);
      return named(key, Buffer.concat([add, renamed.subarray(strip.length)]));
    },
    keysNamed(name) {
      if (!startsWith(name, add)) return [];
      const renamed = Buffer.concat([strip, name.subarray(add.length)]);
      const changed = longestFirst.filter(({ to }) => startsWith(renamed, to));
      const keys = [renamed, ...changed.map(({ from, to }) => Buffer.concat([from, renamed.subarray(to.length)]))];
      return keys.filter((key, i) => rename(key, longestFirst).equals(renamed) && keys.findIndex((other) => other.equals(key)) === i);
    },
    mapSet: (keys) => keys.renamed({ rules, strip, add }),
    mapPrefix(prefix) {
      // The rules below the prefix, and the one that holds for the prefix itself.
      const below = longestFirst.filter(({ from }) => from.length > prefix.length && startsWith(from, prefix));
      const renamed = [rename(prefix, longestFirst), ...below.map(({ to }) => to)];
      return withoutCovered(renamed.flatMap((p) => swapPrefix(p, strip, add)));
    },
  };
}

/**
 * What a selection of keys is of their names in the target: for who asks later what was chosen. It may hold less than all
 * names that selected keys get (see `KeySet.selection`), and never holds another.
 */
export function mappedSelection(selection: KeySelection, mapping: KeyMapping): KeySelection {
  return mapping.identity ? selection : mapping.mapSet(KeySet.of(selection)).selection();
}

function rename(key: Buffer, longestFirst: readonly MapRule[]): Buffer {
  const rule = longestFirst.find(({ from }) => startsWith(key, from));
  return rule === undefined ? key : Buffer.concat([rule.to, key.subarray(rule.from.length)]);
}

/** Where the keys under `prefix` come to lie when `strip` becomes `add`: nowhere if none can be under `strip`. */
function swapPrefix(prefix: Buffer, strip: Buffer, add: Buffer): Buffer[] {
  if (startsWith(prefix, strip)) return [Buffer.concat([add, prefix.subarray(strip.length)])];
  return startsWith(strip, prefix) ? [add] : [];
}

function parseRule(text: string): MapRule {
  const at = text.indexOf('=');
  if (at < 0) throw new FerryError('usage', `--map takes OLD=NEW${text.startsWith('/') ? `, found ${JSON.stringify(text)}` : ''}`);
  if (at === 0) {
    throw new FerryError('usage', `--map takes OLD=NEW with an OLD that is not empty, found ${JSON.stringify(text)}`, {
      hint: 'To put a prefix before every key use --add-prefix.',
    });
  }
  return { from: Buffer.from(text.slice(0, at)), to: Buffer.from(text.slice(at + 1)) };
}

function notUnderStrip(key: Buffer, renamed: Buffer, strip: Buffer): FerryError {
  const as = renamed.equals(key) ? '' : ` (mapped to ${showKey(renamed)})`;
  return new FerryError('usage', `key ${showKey(key)}${as} does not begin with the prefix to strip, ${showKey(strip)}`, {
    hint: 'Choose only the keys under it with --prefix, or leave --strip-prefix out and use --map.',
  });
}

function named(key: Buffer, target: Buffer): Buffer {
  if (target.length > 0) return target;
  throw new FerryError('usage', `nothing would be left of key ${showKey(key)} after the mapping`, {
    hint: 'Exclude the key, or map it elsewhere.',
  });
}
