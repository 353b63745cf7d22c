import { cpSync } from 'node:fs';
import { excludeFlags, renameFlags, selectFlags } from './command-line.js';
import type { ObservedTree, V2Ground, V3Ground } from './ground.js';
import type { Contents, Key } from './model.js';
import {
  backedUpTree,
  chosenOf,
  endOf,
  exitsOfTreeChoice,
  isText,
  type MigrateFlags,
  migrated,
  restoredTree,
  shownTo,
  type Tree,
} from './model-tree.js';
import { contentsOf } from './plan.js';
import { type TreePlan, type TreeStep, treeOf } from './plan-tree.js';
import { differencesOf, documents, keyOf, line, type Runner, shown } from './runner.js';

/** Where the tree is by now, with the flags that its reader needs. */
interface Place {
  readonly location: string;
  readonly flags: readonly string[];
  readonly tree: Tree;
  /** A live one shows nothing hidden that is not asked for. */
  readonly live: boolean;
}

type StepOf<D extends TreeStep['do']> = Extract<TreeStep, { do: D }>;

/** Seconds that a TTL may have run down in a round. */
const SLACK = 250;

/**
 * Makes a combination of a v2 tree and holds every step to the model.
 *
 * @throws Mismatch
 */
export async function playTree(plan: TreePlan, runner: Runner): Promise<void> {
  await new TreePlay(plan, runner).run();
}

class TreePlay {
  readonly #plan: TreePlan;
  readonly #runner: Runner;
  readonly #source: V2Ground;
  readonly #target: V2Ground;
  readonly #keys: V3Ground;
  #place: Place;

  constructor(plan: TreePlan, runner: Runner) {
    this.#plan = plan;
    this.#runner = runner;
    const { ground } = runner;
    [this.#source, this.#target] = [ground.treeSource, ground.treeTarget];
    this.#keys = ground.targets[plan.etcds[1]] as V3Ground;
    this.#place = { location: this.#source.endpoint, flags: ['--api=v2'], tree: treeOf(plan.nodes), live: true };
  }

  async run(): Promise<void> {
    await this.#source.wipe();
    await this.#source.fill(this.#place.tree);
    for (const step of this.#plan.steps) await this.#step(step);
  }

  #step(step: TreeStep): Promise<void> {
    switch (step.do) {
      case 'backup':
        return this.#backup(step);
      case 'data-dir':
        return this.#dataDir();
      case 'restore':
        return this.#restore(step);
      case 'migrate':
        return this.#migrate(step);
      case 'ls':
        return this.#ls(step);
    }
  }

  async #backup({ form, select, hidden }: StepOf<'backup'>): Promise<void> {
    const { age } = this.#runner.ground;
    const to = this.#runner.newFile({ archive: '.tar', encrypted: '.tar.age', repository: '/' }[form]);
    const how = [...(form === 'repository' ? ['--create'] : []), ...(form === 'encrypted' ? [`--recipient=${age.recipient}`] : [])];
    const tree = this.#shown(hidden);
    const args = ['backup', ...this.#from(hidden), `--to=${to}`, ...how, ...selectFlags(select)];
    const { exit } = await this.#runner.run(args, this.#exitsOfReading(exitsOfTreeChoice(tree, select), hidden), 'nothing is chosen');
    if (exit !== 0 && exit !== 3) return;
    const flags = form === 'encrypted' ? [`--identity=${age.file}`] : [];
    this.#place = { location: to, flags, tree: backedUpTree(tree, select), live: false };
  }

  /** A copy of the running member's files, which is what a crash would leave. */
  async #dataDir(): Promise<void> {
    if (!this.#place.live) return;
    const to = this.#runner.newFile('');
    cpSync(this.#source.server.dataDir, to, { recursive: true });
    this.#place = { ...this.#place, location: to, live: false };
  }

  async #restore({ select, onConflict, target, dryRun }: StepOf<'restore'>): Promise<void> {
    if (this.#place.live) return;
    const before = treeOf(target);
    const { exits, why, after } = restoredTree(this.#place.tree, select, onConflict, before);
    await this.#target.wipe();
    await this.#target.fill(before);
    const index = await this.#target.index();
    const args = ['restore', ...this.#from([]), `--to=${this.#target.endpoint}`, ...selectFlags(select), `--on-conflict=${onConflict}`];
    if (dryRun) {
      await this.#runner.run([...args, '--dry-run'], exits, why.join('; '));
      this.#runner.expect(index, await this.#target.index(), `${line(args)} --dry-run wrote something`);
    }
    const { exit } = await this.#runner.run(args, exits, why.join('; '));
    if (exit !== 0) this.#runner.expect(index, await this.#target.index(), `${line(args)}: exit ${exit}, but it wrote something`);
    else this.#runner.expectNone(treeDifferences(after, await this.#target.observe()), args);
  }

  async #migrate({ to, flags, hidden, target, dryRun }: StepOf<'migrate'>): Promise<void> {
    const before = to === 'live' ? contentsOf(target) : new Map();
    const { exits, why, after, perhaps } = migrated(this.#shown(hidden), flags, before);
    await this.#keys.wipe();
    await this.#keys.fill(before);
    const file = to === 'live' ? this.#keys.endpoint : this.#runner.newFile(to === 'db' ? '.db' : '.tar');
    // migrate means v2 by its nature.
    const from = this.#from(hidden).filter((flag) => flag !== '--api=v2');
    const args = ['migrate', ...from, `--to=${file}`, ...migrateFlags(flags, to)];
    const env = { XDG_STATE_HOME: this.#runner.newFile('.state') };
    const revision = await this.#keys.revision();
    const all = this.#exitsOfReading([...exits], hidden);
    if (dryRun) {
      await this.#runner.run(
        [...args, '--dry-run'],
        new Set([...all].flatMap((exit) => (exit === 3 ? [0, 3] : [exit]))),
        why.join('; '),
        env,
      );
      this.#runner.expect(revision, await this.#keys.revision(), `${line(args)} --dry-run wrote something`);
    }
    const { exit } = await this.#runner.run(args, all, why.join('; '), env);
    if (exit !== 0 && exit !== 3) {
      this.#runner.expect(revision, await this.#keys.revision(), `${line(args)}: exit ${exit}, but it wrote something`);
      return;
    }
    if (to === 'live') await this.#again(args, exit, env);
    else await this.#runner.run(['restore', `--from=${file}`, `--to=${this.#keys.endpoint}`, '--lease-ttl=remaining'], new Set([0]), '');
    const seen = new Map([...(await this.#keys.observe())].filter(([key]) => !perhaps.has(key)));
    const wanted = new Map([...(after as Contents)].filter(([key]) => !perhaps.has(key)));
    this.#runner.expectNone(differencesOf(wanted, seen, SLACK), args);
  }

  async #again(args: readonly string[], exit: number, env: NodeJS.ProcessEnv): Promise<void> {
    const revision = await this.#keys.revision();
    await this.#runner.run(args, new Set([exit]), 'it was run before', env);
    this.#runner.expect(revision, await this.#keys.revision(), `${line(args)}: run again, it wrote something`);
  }

  async #ls({ select, hidden }: StepOf<'ls'>): Promise<void> {
    const one = { ...select, prefixes: select.prefixes.slice(0, 1) };
    const { location, flags } = this.#place;
    const names = this.#place.live ? hidden.map((path) => `--include-hidden=${path}`) : [];
    const args = ['ls', location, ...one.prefixes, ...flags, ...names, ...excludeFlags(one.excludes), '--json'];
    const result = await this.#runner.run(args, this.#exitsOfReading(one.prefixes.includes('a') ? [0, 2] : [0], hidden), '');
    const found = documents(result).flatMap((each) =>
      each.schema === 'etcdferry.ls-summary/v1' || each.dir === true ? [] : [keyOf(each)],
    );
    const wanted = [...chosenOf(this.#shown(hidden), one)].flatMap(([path, { dir }]) => (dir ? [] : [path]));
    if (result.exit === 0) this.#runner.expect(wanted.sort().join('\n'), found.sort().join('\n'), `${line(args)} lists other nodes`);
  }

  #shown(hidden: readonly Key[]): Tree {
    return this.#place.live ? shownTo(this.#place.tree, hidden) : this.#place.tree;
  }

  /** Where everything is hidden and nothing asked for, it may be said that something was left out. */
  #exitsOfReading(exits: readonly number[], hidden: readonly Key[]): ReadonlySet<number> {
    if (this.#place.live && hidden.some((path) => !this.#place.tree.has(path))) return new Set([2]);
    const onlyHidden = this.#place.live && this.#place.tree.size > 0 && this.#shown(hidden).size === 0;
    return new Set(onlyHidden ? [...exits, 2, 3] : exits);
  }

  #from(hidden: readonly Key[]): string[] {
    const names = this.#place.live ? hidden.map((path) => `--include-hidden=${path}`) : [];
    return [`--from=${this.#place.location}`, ...this.#place.flags, ...names];
  }
}

function migrateFlags({ select, rename, onConflict, ttl, emptyDirs, hidden }: MigrateFlags, to: string): string[] {
  return [
    ...selectFlags(select),
    ...renameFlags(rename),
    ...(to === 'live' ? [`--on-conflict=${onConflict}`] : []),
    `--ttl=${ttl}`,
    ...(emptyDirs === undefined ? [] : [`--empty-dirs=${emptyDirs}`]),
    ...(hidden === undefined ? [] : [`--hidden=${hidden}`]),
  ];
}

/** How a tree differs from what it must be: ends are those by all that lies above. */
export function treeDifferences(after: Tree, seen: ObservedTree): string[] {
  return [...new Set([...after.keys(), ...seen.keys()])].flatMap((path) => {
    const [expected, found] = [after.get(path), seen.get(path)];
    if (expected === undefined) return [`${path} is there: ${shown(found?.value)}`];
    if (found === undefined) return [`${path} is not there`];
    const [wanted, end] = [endOf(after, path), endOf(seen, path)];
    const wrong =
      expected.dir === found.dir && (expected.value === found.value || !isText(expected.value))
        ? []
        : [`${path} holds ${shown(found.value)}`];
    const fits = wanted === undefined || end === undefined ? wanted === end : end <= wanted + 2 && end >= wanted - SLACK;
    return fits ? wrong : [...wrong, `${path} ends after ${end} s, not ${wanted} s`];
  });
}
