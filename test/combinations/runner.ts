import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { type CliResult, etcdferryInside } from '../support/cli.js';
import type { Ground, Observed } from './ground.js';
import type { Contents, Entry, Key } from './model.js';
import { unseal } from './sealing.js';

/** A combination that did not end as the model says. */
export class Mismatch extends Error {
  override readonly name = 'Mismatch';
}

/** Runs the commands of one combination, in a directory of its own, and holds how they end to what was expected. */
export class Runner {
  readonly ground: Ground;
  readonly #count: (command: string) => void;
  readonly #directory: string;
  #files = 0;

  /** @param count told every command that was run */
  constructor(ground: Ground, count: (command: string) => void) {
    this.ground = ground;
    this.#count = count;
    this.#directory = mkdtempSync(join(ground.directory, 'round-'));
  }

  /** Does the work, and clears away what it left. */
  async during(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } finally {
      rmSync(this.#directory, { recursive: true, force: true });
    }
  }

  newFile(ending: string): string {
    return join(this.#directory, `${this.#files++}${ending}`);
  }

  /**
   * @param why it may not end with 0, where it may not
   * @throws Mismatch when it ends with none of these
   */
  async run(args: readonly string[], exits: ReadonlySet<number>, why: string, env: NodeJS.ProcessEnv = {}): Promise<CliResult> {
    this.#count(args[0] as string);
    const result = await etcdferryInside(args, undefined, env);
    if (exits.has(result.exit as number)) return result;
    const reason = exits.has(0) ? '' : ` (${why})`;
    throw new Mismatch(`${line(args)}\nends with ${result.exit}, not with ${[...exits].join(' or ')}${reason}\n${result.stderr}`);
  }

  expect(expected: string, found: string, what: string): void {
    if (expected !== found) throw new Mismatch(`${what}\nexpected: ${expected}\nfound:    ${found}`);
  }

  /** @throws Mismatch with what is wrong, if anything is */
  expectNone(wrong: readonly string[], args: readonly string[]): void {
    if (wrong.length > 0) throw new Mismatch(`${line(args)}\nthe target is not as it must be:\n  ${wrong.join('\n  ')}`);
  }
}

/**
 * How a target differs from what it must be.
 *
 * @param slack seconds that a lease may be short of
 */
export function differencesOf(after: Contents, seen: Observed, slack: number): string[] {
  return [...new Set([...after.keys(), ...seen.keys()])].flatMap((key) => {
    const [expected, found] = [after.get(key), seen.get(key)];
    if (expected === undefined) return [`${shown(key)} is there: ${shown(found?.value)}`];
    return found === undefined ? [`${shown(key)} is not there`] : differencesAt(key, expected, found, slack);
  });
}

function differencesAt(key: Key, expected: Entry, found: { readonly value: string; readonly ttl?: number }, slack: number): string[] {
  const wrong: string[] = [];
  const plain = expected.sealed?.plain;
  if (plain !== undefined && unseal(key, found.value) !== plain) wrong.push(`${shown(key)} does not open`);
  if (plain === undefined && found.value !== expected.value)
    wrong.push(`${shown(key)} holds ${shown(found.value)}, not ${shown(expected.value)}`);
  const [wanted, ttl] = [expected.lease?.ttl, found.ttl];
  const fits = wanted === undefined || ttl === undefined ? wanted === ttl : ttl <= wanted + (slack && 1) && ttl >= wanted - slack;
  if (!fits) wrong.push(`${shown(key)} ends after ${ttl} s, not ${wanted} s`);
  return wrong;
}

export interface Document {
  readonly schema: string;
  readonly key?: string;
  /** Of a v2 node. */
  readonly path?: string;
  readonly keyBase64?: string;
  readonly change?: string;
  readonly dir?: boolean;
  readonly records?: number;
}

/** What `--json` printed, an object a line. */
export function documents({ stdout }: CliResult): Document[] {
  const texts = stdout.toString().split('\n');
  return texts.filter((text) => text !== '').map((text) => JSON.parse(text) as Document);
}

export function keyOf({ path, key = path, keyBase64 = '' }: Document): Key {
  return key === undefined ? Buffer.from(keyBase64, 'base64').toString('latin1') : Buffer.from(key).toString('latin1');
}

/** As a shell takes it. */
export function line(args: readonly string[]): string {
  return `etcdferry ${args.map((arg) => (/^[\w/.:=,-]+$/.test(arg) ? arg : `'${arg}'`)).join(' ')}`;
}

export function shown(text: string | undefined): string {
  return JSON.stringify(text);
}
