import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { excludeFlags, objectFlags, reencryptFlags, renameFlags, restoreFlags, selectFlags } from './command-line.js';
import type { V3Ground } from './ground.js';
import { ALL, backedUp, type Contents, choose, compared, filed, type Key, type Known, restored } from './model.js';
import { contentsOf, type Plan, type Step } from './plan.js';
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
    const known: Known = { contents: contentsOf(plan.keys), speaksFor: () => true, tells: true, live: true };
    this.#place = { location: this.#source.endpoint, flags: [], known };
  }

  async run(): Promise<void> {
    await this.#source.wipe();
    await this.#source.fill(this.#place.known.contents);
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
    const to = this.#runner.newFile({ archive: '.tar', encrypted: '.tar.age', repository: '/' }[form]);
    const how = [
      ...(form === 'repository' ? ['--create'] : []),
      ...(form === 'encrypted' ? [`--recipient=${this.#runner.ground.age.recipient}`] : []),
      ...(this.#place.known.live ? [`--via=${via}`] : []),
    ];
    const result = await this.#runner.run(
      ['backup', ...this.#from(), `--to=${to}`, ...how, ...selectFlags(select)],
      exits,
      'nothing is chosen',
    );
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
    await this.#source.fill([...this.#place.known.contents].reverse());
    await execute('cp', ['-r', '--sparse=always', `${member}/wal`, `${to}/member/wal`]);
  }

  async #toDb({ select, rename, reencrypt }: StepOf<'to-db'>): Promise<void> {
    if (this.#place.known.live) return;
    const { exits, why, file } = filed(this.#place.known, select, rename, reencrypt);
    const to = this.#runner.newFile('.db');
    const flags = [...selectFlags(select), ...renameFlags(rename), ...reencryptFlags(reencrypt, this.#runner.ground.encryption)];
    const result = await this.#runner.run(['restore', ...this.#from(), `--to=${to}`, ...flags], exits, why.join('; '));
    // What was sealed anew has bytes that nobody can foretell.
    const resealed = reencrypt && [...file.contents.values()].some(({ sealed }) => sealed !== undefined);
    if (result.exit === 0 && !resealed) this.#place = { location: to, flags: [], known: file };
  }

  async #restore({ flags, target, dryRun }: StepOf<'restore'>): Promise<void> {
    if (this.#place.known.live) return;
    const before = contentsOf(target);
    const outcome = restored(this.#place.known, flags, before);
    await this.#fillTarget(before);
    const args = ['restore', ...this.#from(), `--to=${this.#target.endpoint}`, ...restoreFlags(flags, this.#runner.ground.encryption)];
    if (dryRun) {
      const revision = await this.#target.revision();
      await this.#runner.run([...args, '--dry-run'], outcome.exits, outcome.why.join('; '));
      this.#runner.expect(revision, await this.#target.revision(), `${line(args)} --dry-run wrote something`);
    }
    const revision = await this.#target.revision();
    const { exit } = await this.#runner.run(args, outcome.exits, outcome.why.join('; '));
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
    const result = await this.#runner.run(args, exits, keys === 0 ? 'nothing is compared' : 'they differ');
    const found = new Map(
      documents(result).flatMap((document) => (document.change === undefined ? [] : [[keyOf(document), document.change]])),
    );
    this.#runner.expect(lines(expected), lines(found), `${line(args)} tells other differences`);
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
