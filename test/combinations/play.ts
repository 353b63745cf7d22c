import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { CliResult } from '../support/cli.js';
import { backFlags, excludeFlags, fileFlags, objectFlags, restoreFlags, selectFlags } from './command-line.js';
import { PASSWORD, type V3Ground } from './ground.js';
import {
  backedUp,
  backedUpBy,
  type Contents,
  choose,
  compared,
  filed,
  type Key,
  type Known,
  type Outcome,
  type RestoreFlags,
  restored,
  restoredBy,
  within,
} from './model.js';
import { migratedBack } from './model-tree.js';
import { contentsOf, type Plan, type Step } from './plan.js';
import { treeOf } from './plan-tree.js';
import { treeDifferences } from './play-tree.js';
import { differencesOf, documents, keyOf, line, type Runner, shown } from './runner.js';

const execute = promisify(execFile);

/** Where the source is by now, with the flags that its reader needs, and what the model knows of it. */
interface Place {
  readonly location: string;
  readonly flags: readonly string[];
  readonly known: Known;
}

type StepOf<D extends Step['do']> = Extract<Step, { do: D }>;

/**
 * Makes a combination of v3 keys and holds every step to the model.
 *
 * @throws Mismatch
 */
export async function play(plan: Plan, runner: Runner): Promise<void> {
  await new Play(plan, runner).run();
}

class Play {
  readonly #plan: Plan;
  readonly #runner: Runner;
  readonly #source: V3Ground;
  readonly #target: V3Ground;
  #place: Place;

  constructor(plan: Plan, runner: Runner) {
    this.#plan = plan;
    this.#runner = runner;
    this.#source = runner.ground.sources[plan.etcds[0]] as V3Ground;
    this.#target = runner.ground.targets[plan.etcds[1]] as V3Ground;
    const known: Known = { contents: contentsOf(plan.keys), speaksFor: () => true, tells: true, live: true, auth: plan.auth };
    this.#place = { location: this.#source.endpoint, flags: [], known };
  }

  async run(): Promise<void> {
    await this.#source.wipe();
    await this.#source.fill(this.#place.known.contents);
    if (this.#plan.auth) await this.#source.addUser('u1', 'READ', '/a/');
    for (const step of this.#plan.steps) await this.#step(step);
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
      case 'to-v2':
        return this.#toV2(step);
      case 'diff':
        return this.#diff(step);
      case 'verify':
        return this.#verify(step);
      case 'ls':
        return this.#ls(step);
      case 'inspect':
        return this.#inspect(step);
      case 'keep':
        return this.#keep(step);
      case 'get':
        return this.#get(step);
    }
  }

  async #backup({ form, select, via, user }: StepOf<'backup'>): Promise<void> {
    const { known } = this.#place;
    const by = known.live ? user : undefined;
    const { exits, archive } = by === undefined ? backedUp(known, select) : backedUpBy(by, known, select, via);
    const to = this.#runner.newFile({ archive: '.tar', encrypted: '.tar.age', repository: '/' }[form]);
    const how = [
      ...(form === 'repository' ? ['--create'] : []),
      ...(form === 'encrypted' ? [`--recipient=${this.#runner.ground.age.recipient}`] : []),
      ...(known.live ? [`--via=${via}`] : []),
    ];
    const args = ['backup', ...this.#from(), `--to=${to}`, ...how, ...selectFlags(select)];
    const run = (more: string[]): Promise<CliResult> => this.#runner.run([...args, ...more], exits, 'nothing is chosen');
    const result = await as(by, 'READ', this.#source, run);
    if (result.exit !== 0) return;
    this.#place = { location: to, flags: form === 'encrypted' ? [`--identity=${this.#runner.ground.age.file}`] : [], known: archive };
  }

  /** etcd's own files, of a live source: neither tells what it was made of. */
  async #file({ form }: StepOf<'file'>): Promise<void> {
    if (!this.#place.known.live) return;
    const known = { ...this.#place.known, tells: false, live: false };
    const to = this.#runner.newFile(form === 'data-dir' ? '' : '.db');
    const snapshot = form === 'data-dir' ? this.#runner.newFile('.snapshot') : to;
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
    await this.#source.fill(new Map([...this.#place.known.contents].reverse()));
    await execute('cp', ['-r', '--sparse=always', `${member}/wal`, `${to}/member/wal`]);
  }

  async #toDb({ flags }: StepOf<'to-db'>): Promise<void> {
    if (this.#place.known.live) return;
    const { exits, why, file } = filed(this.#place.known, flags);
    const to = this.#runner.newFile('.db');
    const args = ['restore', ...this.#from(), `--to=${to}`, ...fileFlags(flags, this.#runner.ground.encryption)];
    const result = await this.#runner.run(args, exits, why.join('; '));
    // What was sealed anew has bytes that nobody can foretell.
    const resealed = flags.reencrypt && [...file.contents.values()].some(({ sealed }) => sealed !== undefined);
    if (result.exit === 0 && !resealed) this.#place = { location: to, flags: [], known: file };
  }

  async #restore({ flags, target, dryRun, user }: StepOf<'restore'>): Promise<void> {
    const { known } = this.#place;
    if (known.live) return;
    const before = contentsOf(target);
    const outcome = user === undefined ? restored(known, flags, before) : restoredBy(user, known, flags, before);
    await this.#fillTarget(before);
    const args = ['restore', ...this.#from(), `--to=${this.#target.endpoint}`, ...restoreFlags(flags, this.#runner.ground.encryption)];
    await as(user, 'READWRITE', this.#target, (more) => this.#restoreBy([...args, ...more], outcome, flags, dryRun));
    const users = flags.withAuth && known.auth ? 'role u1-role, user u1' : '';
    if (user === undefined && outcome.exits.has(0))
      this.#runner.expect(users, await this.#target.users(), `${line(args)}: other users and roles`);
  }

  async #restoreBy(args: readonly string[], outcome: Outcome, flags: RestoreFlags, dryRun: boolean): Promise<void> {
    const why = outcome.why.join('; ');
    const revision = await this.#target.revision();
    if (dryRun) {
      await this.#runner.run([...args, '--dry-run'], outcome.exits, why);
      this.#runner.expect(revision, await this.#target.revision(), `${line(args)} --dry-run wrote something`);
    }
    const { exit } = await this.#runner.run(args, outcome.exits, why);
    if (exit !== 0) {
      this.#runner.expect(revision, await this.#target.revision(), `${line(args)}: exit ${exit}, but it wrote something`);
      return;
    }
    // What remained of a lease is a little less than was granted, however long the round takes.
    const slack = flags.leaseTtl === 'remaining' || flags.leaseTtl === 'deadline' ? 200 : 0;
    this.#runner.expectNone(differencesOf(outcome.after, await this.#target.observe(), slack), args);
    await this.#again(args);
  }

  /** docs/restore-live-v3.md: a run that finds everything in place writes nothing. */
  async #again(args: readonly string[]): Promise<void> {
    const revision = await this.#target.revision();
    await this.#runner.run(args, new Set([0]), 'it was run before');
    this.#runner.expect(revision, await this.#target.revision(), `${line(args)}: run again, it wrote something`);
  }

  async #toV2({ flags, target }: StepOf<'to-v2'>): Promise<void> {
    const { treeTarget } = this.#runner.ground;
    const { exits, why, after } = migratedBack(this.#place.known, flags, treeOf(target));
    await treeTarget.wipe();
    await treeTarget.fill(treeOf(target));
    const index = await treeTarget.index();
    // What is read is v3 by then.
    const from = this.#from().filter((flag) => flag !== '--api=v3');
    const args = ['migrate', '--to-api=v2', ...from, `--to=${treeTarget.endpoint}`, ...backFlags(flags)];
    const { exit } = await this.#runner.run(args, exits, why.join('; '), { XDG_STATE_HOME: this.#runner.newFile('.state') });
    if (exit === 0 || exit === 3) this.#runner.expectNone(treeDifferences(after, await treeTarget.observe()), args);
    else this.#runner.expect(index, await treeTarget.index(), `${line(args)}: exit ${exit}, but it wrote something`);
  }

  async #diff({ select, leases, other }: StepOf<'diff'>): Promise<void> {
    const { known, location } = this.#place;
    await this.#fillTarget(contentsOf(other));
    const [from, to] = [choose(known.contents, select), choose(within(known, contentsOf(other)), select)];
    const expected = compared(from, to, leases);
    const anything = known.contents.size + other.length > 0;
    // Where both sides hold nothing at all, either will do.
    const exits = new Set(expected.size > 0 ? [4] : from.size + to.size > 0 || select.allowEmpty ? [0] : anything ? [2] : [0, 2]);
    const flags = [...selectFlags(select), ...(leases ? ['--leases'] : [])];
    const args = ['diff', location, this.#target.endpoint, ...this.#place.flags, ...flags, '--json'];
    const result = await this.#runner.run(args, exits, from.size + to.size > 0 ? 'they differ' : 'nothing is compared');
    const found = new Map(
      documents(result).flatMap((document) => (document.change === undefined ? [] : [[keyOf(document), document.change]])),
    );
    this.#runner.expect(lines(expected), lines(found), `${line(args)} tells other differences`);
  }

  async #verify({ depth, against }: StepOf<'verify'>): Promise<void> {
    const { known, location, flags } = this.#place;
    if (known.live) return;
    if (against !== undefined) await this.#fillTarget(contentsOf(against));
    const there = within(known, contentsOf(against ?? []));
    const differ = against !== undefined && compared(known.contents, there, false).size > 0;
    const nothing = against !== undefined && known.contents.size + there.size === 0;
    const exits = new Set(differ ? [4] : nothing ? [2] : [0]);
    const other = against === undefined ? [] : [`--against=${this.#target.endpoint}`];
    await this.#runner.run(
      ['verify', location, ...flags, `--depth=${depth}`, ...other],
      exits,
      differ ? 'they differ' : 'nothing is compared',
    );
  }

  async #ls({ select }: StepOf<'ls'>): Promise<void> {
    const { known, location, flags } = this.#place;
    const one = { ...select, prefixes: select.prefixes.slice(0, 1) };
    const chosen = [...excludeFlags(one.excludes), ...objectFlags(one.kinds, one.namespaces)];
    const args = ['ls', location, ...one.prefixes, ...flags, ...chosen, '--json'];
    const result = await this.#runner.run(args, new Set([0]), '');
    const found = documents(result).flatMap((document) => (document.schema === 'etcdferry.ls-summary/v1' ? [] : [keyOf(document)]));
    this.#runner.expect(
      [...choose(known.contents, one).keys()].sort().join('\n'),
      found.sort().join('\n'),
      `${line(args)} lists other keys`,
    );
  }

  async #inspect({ select }: StepOf<'inspect'>): Promise<void> {
    const { known, location, flags } = this.#place;
    const args = ['inspect', location, ...flags, ...selectFlags({ ...select, allowEmpty: false }), '--json'];
    const [told] = documents(await this.#runner.run(args, new Set([0]), ''));
    this.#runner.expect(String(choose(known.contents, select).size), String(told?.records), `${line(args)} counts other keys`);
  }

  /** A repository with one archive: it is copied whole, and the last of a kind is never removed. */
  async #keep({ how }: StepOf<'keep'>): Promise<void> {
    const { location } = this.#place;
    if (!location.endsWith('/')) return;
    if (how === 'prune') {
      await this.#runner.run(['prune', location, '--keep-last=1'], new Set([0]), '');
      return;
    }
    const to = this.#runner.newFile('/');
    await this.#runner.run(['copy', location, to, '--create'], new Set([0]), '');
    this.#place = { ...this.#place, location: to };
  }

  async #get({ key }: StepOf<'get'>): Promise<void> {
    const { known, location, flags } = this.#place;
    const entry = known.contents.get(key);
    const args = ['get', location, key, ...flags, '-o', 'raw'];
    const result = await this.#runner.run(args, new Set([entry === undefined ? 2 : 0]), `${key} is not there`);
    if (entry !== undefined)
      this.#runner.expect(shown(entry.value), shown(result.stdout.toString('latin1')), `${line(args)} prints another value`);
  }

  async #fillTarget(contents: Contents): Promise<void> {
    await this.#target.wipe();
    await this.#target.fill(contents);
  }

  #from(): string[] {
    return [`--from=${this.#place.location}`, ...this.#place.flags];
  }
}

function lines(map: ReadonlyMap<Key, string>): string {
  return [...map]
    .map(([key, change]) => `${change} ${shown(key)}`)
    .sort()
    .join(', ');
}

/** Does something as a user who may do so much under a prefix, where one is given; else as who needs no name. */
async function as<T>(
  prefix: Key | undefined,
  permission: 'READ' | 'READWRITE',
  ground: V3Ground,
  work: (flags: string[]) => Promise<T>,
): Promise<T> {
  if (prefix === undefined) return work([]);
  await ground.addUser('somebody', permission, prefix);
  return ground.whileAuthenticated('somebody', () => work([`--user=somebody:${PASSWORD}`]));
}
