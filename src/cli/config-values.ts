import type { Options } from 'yargs';
import { FerryError } from '../errors.js';

export type Section = 'clusters' | 'repositories' | 'policies' | 'profiles';
export type SettingValue = string | boolean | readonly string[];
/** What a setting may be: as the flag of its name; `list` also as one value alone, `words` as a list joined by commas. */
export type SettingKind = 'string' | 'boolean' | 'list' | 'words' | readonly string[];
/** Known settings of each section. */
export type SettingKeys = Readonly<Record<Section, Readonly<Record<string, SettingKind>>>>;

/** How far an unknown key may be from a known one that is named in its place: the letters of a slip or two. */
const NEAR = 3;

/** The kinds of settings that stand for these flags. */
export function kindsOf(options: Readonly<Record<string, Options>>): Record<string, SettingKind> {
  return Object.fromEntries(Object.entries(options).map(([name, option]) => [name, kindOf(option)]));
}

function kindOf({ type, array, choices }: Options): SettingKind {
  if (array === true) return 'list';
  if (choices !== undefined) return choices as readonly string[];
  return type === 'boolean' ? 'boolean' : 'string';
}

/**
 * Refuses a key that is not known.
 *
 * @throws FerryError `usage`, naming it and the nearest known one
 */
export async function checkKey(key: string, known: readonly string[], place: string): Promise<void> {
  if (known.includes(key)) return;
  if (known.length === 0) throw new FerryError('usage', `${place}: "${key}" is not known`, { hint: 'The file names none.' });
  const { closest, distance } = await import('fastest-levenshtein');
  const nearest = closest(key, known);
  const hint = distance(key, nearest) <= NEAR ? `Did you mean ${nearest}?` : `Known are ${[...known].sort().join(', ')}.`;
  throw new FerryError('usage', `${place}: "${key}" is not known`, { hint });
}

/**
 * A setting as the flag of its name would have it. A value that does not fit is not repeated: it may be a secret.
 *
 * @param substitute puts the environment's values in
 * @throws FerryError `usage`
 */
export function settingValue(
  raw: unknown,
  kind: SettingKind,
  place: string,
  substitute: (text: string, place: string) => string,
): SettingValue {
  if (kind === 'boolean') {
    if (typeof raw === 'boolean') return raw;
    throw new FerryError('usage', `${place}: true or false was expected`);
  }
  const one = (value: unknown): string => {
    if (typeof value === 'string') return substitute(value, place);
    if (typeof value === 'number' || typeof value === 'bigint') return String(value);
    throw new FerryError('usage', `${place}: ${kind === 'list' || kind === 'words' ? 'a list of texts' : 'a text'} was expected`);
  };
  if (kind === 'list') return (Array.isArray(raw) ? raw : [raw]).map(one);
  if (kind === 'words') return (Array.isArray(raw) ? raw : [raw]).map(one).join(',');
  const text = one(raw);
  if (kind !== 'string' && !kind.includes(text)) throw new FerryError('usage', `${place}: one of ${kind.join(', ')} was expected`);
  return text;
}
