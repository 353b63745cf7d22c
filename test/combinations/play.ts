import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type CliResult, etcdferryInside } from '../support/cli.js';
import { excludeFlags, objectFlags, reencryptFlags, renameFlags, restoreFlags, selectFlags } from './command-line.js';
import type { Ground, Observed, V3Ground } from './ground.js';
import {
  ALL,
  backedUp,
  type Contents,
  choose,
  compared,
  type Entry,
  filed,
  type Key,
  type Known,
  type Outcome,
  type RestoreFlags,
  restored,
} from './model.js';
import { contentsOf, type Plan, type Step } from './plan.js';
import { unseal } from './sealing.js';

const execute = promisify(execFile);

/** A combination that did not end as the model says. */
export class Mismatch extends Error {
  override readonly name = 'Mismatch';
}

/** Reasons not to end with 0 that are not heeded everywhere yet: a combination that does not is left there. */
const PENDING = process.env.STRICT ? /^$/ : /nothing is|nothing of what|does not tell|compact_rev_key|does not open/;

class Pending extends Error {}

/** Where the source is by now, with the flags that its reader needs, and what the model knows of it. */
interface Place {
  readonly location: string;
  readonly flags: readonly string[];
  readonly known: Known;
}

type StepOf<D extends Step['do']> = Extract<Step, { do: D }>;

/**
 * Makes a combination and holds every step to the model.
 *
 * @param count told every command that was run
 * @throws Mismatch
 */
export async function play(plan: Plan, ground: Ground, count: (command: string) => void = () => {}): Promise<void> {
  await new Play(plan, ground, count).run();
}

class Play {
  readonly #plan: Plan;
  readonly #ground: Ground;
  readonly #count: (command: string) => void;
  readonly #source: V3Ground;
  readonly #target: V3Ground;
  readonly #directory: string;
  #files = 0;
  #place: Place;

  constructor(plan: Plan, ground: Ground, count: (command: string) => void) {
    this.#plan = plan;
    this.#ground = ground;
    this.#count = count;
    this.#source = ground.sources[plan.etcds[0]] as V3Ground;
    this.#target = ground.targets[plan.etcds[1]] as V3Ground;
    this.#directory = mkdtempSync(join(ground.directory, 'round-'));
    const known: Known = { contents: contentsOf(plan.keys), speaksFor: () => true, tells: true, live: true };
    this.#place = { location: this.#source.endpoint, flags: [], known };
  }

  async run(): Promise<void> {
    try {
      await this.#source.wipe();
      await this.#source.fill(this.#place.known.contents);
      for (const step of this.#plan.steps) await this.#step(step);
    } catch (thrown) {
      if (!(thrown instanceof Pending)) throw thrown;
      this.#count('PENDING');
    } finally {
      rmSync(this.#directory, { recursive: true, force: true });
    }
  }

  #step(step: Step): Promise<void> {
    switch (step.do) {
      case 'backup':
        return this.#backup(step);
      case 'file':
        return this.#file(step);
      case 'to-db':
        return this.#toDb(step);
      case 'restore':
        return this.#restore(step);
      case 'diff':
        return this.#diff(step);
      case 'verify':
        return this.#verify(step);
      case 'ls':
        return this.#ls(step);
      case 'get':
        return this.#get(step);
    }
  }

  async #backup({ form, select, via }: StepOf<'backup'>): Promise<void> {
    const { exits, archive } = backedUp(this.#place.known, select);
    const to = this.#newFile({ archive: '.tar', encrypted: '.tar.age', repository: '/' }[form]);
    const how = [
      ...(form === 'repository' ? ['--create'] : []),
      ...(form === 'encrypted' ? [`--recipient=${this.#ground.age.recipient}`] : []),
      ...(this.#place.known.live ? [`--via=${via}`] : []),
    ];
    const result = await this.#run(['backup', ...this.#from(), `--to=${to}`, ...how, ...selectFlags(select)], exits, 'nothing is chosen');
    if (result.exit !== 0) return;
    this.#place = { location: to, flags: form === 'encrypted' ? [`--identity=${this.#ground.age.file}`] : [], known: archive };
  }

  /** etcd's own files, of a live source: neither tells what it was made of. */
  async #file({ form }: StepOf<'file'>): Promise<void> {
    if (!this.#place.known.live) return;
    const known = { ...this.#place.known, tells: false, live: false };
    const to = this.#newFile(form === 'data-dir' ? '' : '.db');
    const snapshot = form === 'data-dir' ? this.#newFile('.snapshot') : to;
    await this.#source.server.etcdctl('snapshot', 'save', snapshot);
    if (form !== 'snapshot') writeFileSync(snapshot, readFileSync(snapshot).subarray(0, -32));
    if (form === 'data-dir') await this.#dataDir(snapshot, to);
    const flags = { snapshot: [], 'raw-db': ['--skip-hash-check'], 'data-dir': ['--api=v3'] }[form];
    this.#place = { location: to, flags, known };
  }

  /** A member that was killed: its database, and a log that has more than that. */
  async #dataDir(database: string, to: string): Promise<void> {
    const member = join(this.#source.server.dataDir, 'member');
    mkdirSync(join(to, 'member/snap'), { recursive: true });
    await execute('sh', ['-c', `cp ${member}/snap/*.snap ${to}/member/snap/ 2>/dev/null; mv ${database} ${to}/member/snap/db`]);
    await this.#source.fill([...this.#place.known.contents].reverse());
    await execute('cp', ['-r', '--sparse=always', `${member}/wal`, `${to}/member/wal`]);
  }

  async #toDb({ select, rename, reencrypt }: StepOf<'to-db'>): Promise<void> {
    if (this.#place.known.live) return;
    const { exits, why, file } = filed(this.#place.known, select, rename, reencrypt);
    const to = this.#newFile('.db');
    const flags = [...selectFlags(select), ...renameFlags(rename), ...reencryptFlags(reencrypt, this.#ground.encryption)];
    const result = await this.#run(['restore', ...this.#from(), `--to=${to}`, ...flags], exits, why.join('; '));
    // What was sealed anew has bytes that nobody can foretell.
    const resealed = reencrypt && [...file.contents.values()].some(({ sealed }) => sealed !== undefined);
    if (result.exit === 0 && !resealed) this.#place = { location: to, flags: [], known: file };
  }

  async #restore({ flags, target, dryRun }: StepOf<'restore'>): Promise<void> {
    if (this.#place.known.live) return;
    const before = contentsOf(target);
    const outcome = restored(this.#place.known, flags, before);
    await this.#fillTarget(before);
    const args = ['restore', ...this.#from(), `--to=${this.#target.endpoint}`, ...restoreFlags(flags, this.#ground.encryption)];
    if (dryRun) {
      const revision = await this.#target.revision();
      await this.#run([...args, '--dry-run'], outcome.exits, outcome.why.join('; '));
      this.#expect(revision, await this.#target.revision(), `${line(args)} --dry-run wrote something`);
    }
    const revision = await this.#target.revision();
    const { exit } = await this.#run(args, outcome.exits, outcome.why.join('; '));
    if (exit !== 0) {
      this.#expect(revision, await this.#target.revision(), `${line(args)}: exit ${exit}, but it wrote something`);
      return;
    }
    this.#compare(args, outcome, await this.#target.observe(), flags);
    await this.#again(args);
  }

  /** docs/restore-live-v3.md: a run that finds everything in place writes nothing. */
  async #again(args: readonly string[]): Promise<void> {
    const revision = await this.#target.revision();
    await this.#run(args, new Set([0]), 'it was run before');
    this.#expect(revision, await this.#target.revision(), `${line(args)}: run again, it wrote something`);
  }

  #compare(args: readonly string[], { after }: Outcome, seen: Observed, flags: RestoreFlags): void {
    const wrong: string[] = [];
    for (const key of new Set([...after.keys(), ...seen.keys()])) {
      const [expected, found] = [after.get(key), seen.get(key)];
      if (expected === undefined) wrong.push(`${shown(key)} is there: ${shown(found?.value)}`);
      else if (found === undefined) wrong.push(`${shown(key)} is not there`);
      else wrong.push(...differences(key, expected, found, flags));
    }
    if (wrong.length > 0 && wrong.every((text) => PENDING.test(text))) throw new Pending();
    if (wrong.length > 0) throw new Mismatch(`${line(args)}\nthe target is not as it must be:\n  ${wrong.join('\n  ')}`);
  }

  async #diff({ select, leases, other }: StepOf<'diff'>): Promise<void> {
    const there = contentsOf(other);
    await this.#fillTarget(there);
    const expected = compared(this.#place.known.contents, there, select, leases);
    const keys = choose(this.#place.known.contents, select).size + choose(there, select).size;
    const nothing = keys === 0 && !select.allowEmpty;
    const anything = this.#place.known.contents.size + there.size > 0;
    const exits = new Set(expected.size > 0 ? [4] : nothing ? (anything ? [2] : [0, 2]) : [0]);
    const flags = [...selectFlags({ ...select, allowEmpty: false }), ...(leases ? ['--leases'] : [])];
    const args = ['diff', this.#place.location, this.#target.endpoint, ...this.#place.flags, ...flags, '--json'];
    const result = await this.#run(args, exits, keys === 0 ? 'nothing is compared' : 'they differ');
    const found = new Map(
      documents(result).flatMap((document) => (document.change === undefined ? [] : [[keyOf(document), document.change]])),
    );
    this.#expect(lines(expected), lines(found), `${line(args)} tells other differences`);
  }

  async #verify({ depth, against }: StepOf<'verify'>): Promise<void> {
    const { known, location, flags } = this.#place;
    if (known.live) return;
    const there = contentsOf(against ?? []);
    if (against !== undefined) await this.#fillTarget(there);
    const within = new Map([...there].filter(([key, entry]) => known.speaksFor(key) && known.objects?.(key, entry) !== false));
    const differ = against !== undefined && compared(known.contents, within, ALL, false).size > 0;
    const nothing = against !== undefined && known.contents.size + within.size === 0;
    const exits = new Set(differ ? [4] : nothing ? [2] : [0]);
    const other = against === undefined ? [] : [`--against=${this.#target.endpoint}`];
    await this.#run(['verify', location, ...flags, `--depth=${depth}`, ...other], exits, differ ? 'they differ' : 'nothing is compared');
  }

  async #ls({ select }: StepOf<'ls'>): Promise<void> {
    const { known, location, flags } = this.#place;
    const one = { ...select, prefixes: select.prefixes.slice(0, 1) };
    const chosen = [...excludeFlags(one.excludes), ...objectFlags(one.kinds, one.namespaces)];
    const args = ['ls', location, ...one.prefixes, ...flags, ...chosen, '--json'];
    const result = await this.#run(args, new Set([0]), '');
    const found = documents(result).flatMap((document) => (document.schema === 'etcdferry.ls-summary/v1' ? [] : [keyOf(document)]));
    this.#expect([...choose(known.contents, one).keys()].sort().join('\n'), found.sort().join('\n'), `${line(args)} lists other keys`);
  }

  async #get({ key }: StepOf<'get'>): Promise<void> {
    const { known, location, flags } = this.#place;
    const entry = known.contents.get(key);
    const args = ['get', location, key, ...flags, '-o', 'raw'];
    const result = await this.#run(args, new Set([entry === undefined ? 2 : 0]), `${key} is not there`);
    if (entry !== undefined)
      this.#expect(shown(entry.value), shown(result.stdout.toString('latin1')), `${line(args)} prints another value`);
  }

  async #fillTarget(contents: Contents): Promise<void> {
    await this.#target.wipe();
    await this.#target.fill(contents);
  }

  #from(): string[] {
    return [`--from=${this.#place.location}`, ...this.#place.flags];
  }

  #newFile(ending: string): string {
    return join(this.#directory, `${this.#files++}${ending}`);
  }

  async #run(args: readonly string[], exits: ReadonlySet<number>, why: string): Promise<CliResult> {
    this.#count(args[0] as string);
    const result = await etcdferryInside(args);
    if (exits.has(result.exit as number)) return result;
    if (result.exit === 0 && PENDING.test(why)) throw new Pending();
    const reason = exits.has(0) ? '' : ` (${why})`;
    throw new Mismatch(`${line(args)}\nends with ${result.exit}, not with ${[...exits].join(' or ')}${reason}\n${result.stderr}`);
  }

  #expect(expected: string, found: string, what: string): void {
    if (expected !== found) throw new Mismatch(`${what}\nexpected: ${expected}\nfound:    ${found}`);
  }
}

function differences(
  key: Key,
  expected: Entry,
  found: { readonly value: string; readonly ttl?: number },
  { leaseTtl }: RestoreFlags,
): string[] {
  const wrong: string[] = [];
  const plain = expected.sealed?.plain;
  if (plain !== undefined && unseal(key, found.value) !== plain) wrong.push(`${shown(key)} does not open`);
  if (plain === undefined && found.value !== expected.value)
    wrong.push(`${shown(key)} holds ${shown(found.value)}, not ${shown(expected.value)}`);
  const [least, most] = [expected.lease?.ttl, found.ttl];
  // What remained of a lease is a little less than was granted, however long the round takes.
  const slack = leaseTtl === 'remaining' || leaseTtl === 'deadline' ? 200 : 0;
  const fits = least === undefined || most === undefined ? least === most : most <= least && most >= least - slack;
  if (!fits) wrong.push(`${shown(key)} has a lease of ${most} s, not of ${least} s`);
  return wrong;
}

interface Document {
  readonly key?: string;
  readonly keyBase64?: string;
  readonly change?: string;
  readonly schema: string;
}

function documents({ stdout }: CliResult): Document[] {
  const texts = stdout.toString().split('\n');
  return texts.filter((text) => text !== '').map((text) => JSON.parse(text) as Document);
}

function keyOf({ key, keyBase64 = '' }: Document): Key {
  return key === undefined ? Buffer.from(keyBase64, 'base64').toString('latin1') : Buffer.from(key).toString('latin1');
}

function lines(map: ReadonlyMap<Key, string>): string {
  return [...map]
    .map(([key, change]) => `${change} ${shown(key)}`)
    .sort()
    .join(', ');
}

function line(args: readonly string[]): string {
  return `etcdferry ${args.map((arg) => (/^[\w/.:=,-]+$/.test(arg) ? arg : `'${arg}'`)).join(' ')}`;
}

function shown(text: string | undefined): string {
  return JSON.stringify(text);
}
