import type { Chance } from './chance.js';
import type { Key, Select } from './model.js';
import { above, isHidden, type MigrateFlags, type Tree, type TreeNode } from './model-tree.js';
import { type KeyPlan, renamePlan } from './plan.js';

export interface NodePlan {
  readonly path: Key;
  /** None for a directory. */
  readonly value?: string;
  readonly ttl?: number;
}

export type TreeStep =
  | {
      readonly do: 'backup';
      readonly form: 'archive' | 'encrypted' | 'repository';
      readonly select: Select;
      readonly hidden: readonly Key[];
    }
  | { readonly do: 'data-dir' }
  | {
      readonly do: 'restore';
      readonly select: Select;
      readonly onConflict: 'fail' | 'skip' | 'overwrite';
      readonly target: readonly NodePlan[];
      readonly dryRun: boolean;
    }
  | {
      readonly do: 'migrate';
      readonly to: 'live' | 'archive' | 'db';
      readonly flags: MigrateFlags;
      readonly hidden: readonly Key[];
      readonly target: readonly KeyPlan[];
      readonly dryRun: boolean;
    }
  | { readonly do: 'ls'; readonly select: Select; readonly hidden: readonly Key[] };

export interface TreePlan {
  readonly api: 'v2';
  readonly etcds: readonly [source: number, target: number];
  readonly nodes: readonly NodePlan[];
  readonly steps: readonly TreeStep[];
}

const FILES = ['/a/1', '/a/2', '/a/d/1', '/a/d/2', '/a/d/e/1', '/ab', '/b/1', '/b/d/1', '/c', '/_h/1', '/a/_k', '/_h/d/2'];
/** Nothing lists these. */
export const HIDDEN: readonly Key[] = ['/_h', '/a/_k'];
const DIRS = ['/a', '/a/d', '/a/d/e', '/b', '/b/d', '/_h'];
const EMPTY = ['/e', '/a/f', '/b/g'];
const PREFIXES = ['', '/', '/a', '/a/', '/a/d/', '/a/d', '/b/', '/c', '/e', '/zz/', 'a'];

export function treeOf(nodes: readonly NodePlan[]): Tree {
  const tree = new Map<Key, TreeNode>();
  for (const { path, value, ttl } of nodes) {
    for (const each of above(path)) if (!tree.has(each)) tree.set(each, { dir: true, value: '' });
    tree.set(path, { dir: value === undefined, value: value ?? '', ...(ttl === undefined ? {} : { ttl }) });
  }
  return tree;
}

export function treePlanOf(chance: Chance, etcds: number): TreePlan {
  const files = chance.some(FILES, 2 + chance.below(7));
  const dirs = DIRS.filter((dir) => files.some((file) => file.startsWith(`${dir}/`)) && chance.percent(35));
  const ttl = (percent: number): Pick<NodePlan, 'ttl'> => (chance.percent(percent) ? { ttl: chance.pick([300, 900, 1800]) } : {});
  const nodes = [
    ...dirs.map((path) => ({ path, ...ttl(80) })),
    ...chance.few(EMPTY, 30).map((path) => ({ path, ...ttl(30) })),
    ...files.map((path) => ({ path, value: chance.pick(['one', 'two', '']), ...ttl(20) })),
  ];
  const steps: TreeStep[] = [];
  const hidden = nodes.map(({ path }) => path).filter((path) => isHidden(path) && chance.percent(50));
  if (chance.percent(25)) steps.push({ do: 'data-dir' });
  else if (chance.percent(60)) steps.push(backupStep(chance, hidden));
  for (let more = 1 + chance.below(3); more > 0; more--) steps.push(anyStep(chance, hidden));
  return { api: 'v2', etcds: [0, chance.below(etcds)], nodes, steps };
}

function anyStep(chance: Chance, hidden: readonly Key[]): TreeStep {
  const kind = chance.below(10);
  if (kind < 2) return backupStep(chance, hidden);
  if (kind < 3) return { do: 'ls', select: select(chance), hidden };
  if (kind < 6) return restoreStep(chance);
  return migrateStep(chance, hidden);
}

function backupStep(chance: Chance, hidden: readonly Key[]): TreeStep {
  return { do: 'backup', form: chance.pick(['archive', 'archive', 'encrypted', 'repository']), select: select(chance), hidden };
}

function restoreStep(chance: Chance): TreeStep {
  const target = targetNodes(chance);
  return {
    do: 'restore',
    select: select(chance),
    onConflict: chance.pick(['fail', 'skip', 'overwrite']),
    target,
    dryRun: chance.percent(25),
  };
}

/** What a live v2 tree holds before anything is written to it. */
export function targetNodes(chance: Chance): NodePlan[] {
  const ttl = (): Pick<NodePlan, 'ttl'> => (chance.percent(20) ? { ttl: 5000 } : {});
  return chance.some(FILES, chance.below(6)).map((path) => ({ path, value: chance.pick(['one', 'two', '']), ...ttl() }));
}

function migrateStep(chance: Chance, hidden: readonly Key[]): TreeStep {
  const chosen = select(chance);
  const target = chance
    .some(FILES, chance.below(6))
    .map((key) => ({ key, value: chance.pick(['one', 'two']), ...(chance.percent(15) ? { lease: 2 } : {}) }));
  const emptyDirs = chance.pick([undefined, 'drop', 'marker'] as const);
  const drop = chance.pick([undefined, undefined, 'keep', 'drop'] as const);
  const flags: MigrateFlags = {
    select: chosen,
    rename: renamePlan(chance, 30, chosen),
    onConflict: chance.pick(['fail', 'skip', 'overwrite']),
    ttl: chance.pick(['exact', 'exact', 'permanent', 'attach-lease=700']),
    ...(emptyDirs === undefined ? {} : { emptyDirs }),
    ...(drop === undefined ? {} : { hidden: drop }),
  };
  const to = chance.pick(['live', 'live', 'archive', 'db'] as const);
  return { do: 'migrate', to, flags, hidden, target: to === 'live' ? target : [], dryRun: to === 'live' && chance.percent(25) };
}

function select(chance: Chance): Select {
  const prefixes = chance.percent(5) ? ['a'] : chance.few(PREFIXES.slice(0, -1), 45);
  return { prefixes, excludes: chance.few(['/a/d/', '/b', '/a/1'], 12), kinds: [], namespaces: [], allowEmpty: chance.percent(15) };
}
