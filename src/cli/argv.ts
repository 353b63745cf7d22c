import type { Argv } from 'yargs';
import { FerryError } from '../errors.js';
import { isSlip } from '../model/secrets.js';

/** No word of a command line can hold this byte. */
const MASK = '\0';

/**
 * The words as the parser is to see them. yargs takes `-` for a flag without a name, does not count what stands
 * after `--` as positionals, and takes `--prefix=` for a flag whose value is missing: all go through it masked.
 */
export function maskWords(argv: readonly string[]): string[] {
  const end = argv.indexOf('--');
  const [flags, plain] = end < 0 ? [argv, []] : [argv.slice(0, end), argv.slice(end + 1)];
  return [...flags.map(maskFlag), ...plain.map((word) => MASK + word)];
}

function maskFlag(word: string): string {
  if (word === '-') return MASK + word;
  return /^--[^=]+=$/.test(word) ? word + MASK : word;
}

/** Puts the words back wherever the parser left their masks. */
export function unmaskWords(args: Record<string, unknown>): void {
  const unmask = (value: unknown): unknown => (typeof value === 'string' && value.startsWith(MASK) ? value.slice(MASK.length) : value);
  for (const [name, value] of Object.entries(args)) args[name] = Array.isArray(value) ? value.map(unmask) : unmask(value);
}

/** What yargs knows of the flags a command declares. */
interface DeclaredFlags {
  readonly key: Readonly<Record<string, unknown>>;
  readonly array: readonly string[];
  readonly boolean: readonly string[];
}

function declaredBy(parser: Argv): DeclaredFlags {
  return (parser as Argv & { getOptions(): DeclaredFlags }).getOptions();
}

/**
 * Refuses a flag that was given twice and takes one value: which one was meant?
 *
 * @throws FerryError `usage`
 */
export function refuseRepeated(args: Readonly<Record<string, unknown>>, parser: Argv): void {
  const { key, array } = declaredBy(parser);
  const repeated = Object.keys(key).find((name) => Array.isArray(args[name]) && !array.includes(name));
  if (repeated !== undefined) throw new FerryError('usage', `--${repeated} was given more than once`, { hint: 'Give it once.' });
}

/**
 * Where a failure's JSON document goes, told before anything is parsed: nowhere unless `--json` was
 * given; to stderr when stdout carries an archive.
 */
export function jsonPlace(argv: readonly string[]): 'stdout' | 'stderr' | undefined {
  if (!argv.some((word) => word === '--json' || word === '--json=true')) return undefined;
  return isStdoutTaken(argv) ? 'stderr' : 'stdout';
}

/** Whether stdout is to carry an archive. */
export function isStdoutTaken(argv: readonly string[]): boolean {
  return argv.some((word, i) => word === '--to=-' || (word === '--to' && argv[i + 1] === '-'));
}

/**
 * Refuses `--quiet=maybe`, which the parser takes for `--quiet=false`.
 *
 * @throws FerryError `usage`
 */
export function refuseStrangeSwitches(argv: readonly string[], parser: Argv): void {
  const { boolean } = declaredBy(parser);
  const end = argv.indexOf('--');
  for (const word of end < 0 ? argv : argv.slice(0, end)) {
    const [, flag = '', value = ''] = /^(--?[^=]+)=(.*)$/s.exec(word) ?? [];
    const isSwitch = boolean.includes(flag.replace(/^--?(no-)?/, ''));
    if (isSwitch && value !== 'true' && value !== 'false') throw new FerryError('usage', `${flag} takes no value, and one was given`);
  }
}

const GOT = 'got %s of %s positionals';

/** What yargs is to say where a positional is missing, in the form `missingPositional` knows. */
export const MISSING_POSITIONAL = { 'Not enough non-option arguments: got %s, need at least %s': { one: GOT, other: GOT } } as const;

/** Says which positional is missing; undefined for any other message. */
export function missingPositional(message: string, spec: string): string | undefined {
  const got = /^got (\d+) of \d+ positionals$/.exec(message)?.[1];
  if (got === undefined) return undefined;
  const missing = [...spec.matchAll(/<[^>]+>/g)][Number(got)]?.[0] ?? 'an argument';
  return `${missing.replace('..', '')} is missing: etcdferry ${spec}`;
}

/**
 * What yargs says, without the words of the command line that may be secrets given in a wrong place: a value that is none
 * of a flag's choices, and words that belong to no flag, but for paths and commands.
 */
export function withoutValues(message: string): string {
  const [, many, words] = /^Unknown (arguments?): ([\s\S]*)$/.exec(message) ?? [];
  if (words === undefined) return message.replace(/, Given: ([\s\S]*?), Choices: /g, shownGiven);
  return `Unknown ${many}: ${words.split(', ').map(shownWord).join(', ')}`;
}

/** What was given where there is a choice, as yargs has it: `"a", "b"`. */
function shownGiven(whole: string, given: string): string {
  const values = given.split(', ').map((value) => value.replace(/^"|"$/g, ''));
  return values.every(isSlip) ? whole : ', choices: ';
}

/** Names of flags come without their dashes. */
function shownWord(word: string): string {
  return /^[a-z][a-z-]*$|^[^@]*\.(tar|age|db|ya?ml|json)$|^\.{0,2}\/[^@]*$|^[a-z]\w*:\/\//i.test(word) ? word : '…';
}

/** The name of a command: `verify` of `verify <location..>`. */
export function nameOf(spec: string): string {
  return spec.split(' ')[0] as string;
}
