import type { Chance } from './chance.js';
import { type Contents, type Entry, type Key, KINDS, type Lease, PREFIXES, type Rename, type RestoreFlags, type Select } from './model.js';
import type { BackFlags } from './model-tree.js';
import { type NodePlan, targetNodes } from './plan-tree.js';
import { seal } from './sealing.js';

/** A key and what it holds, by words that are easy to read in a failure. */
export interface KeyPlan {
  readonly key: Key;
  /** `json`: a Kubernetes object as its key tells; `aesgcm`, `aescbc`: the same, sealed; anything else: itself. */
  readonly value: string;
  /** Which of LEASES; none when left out. */
  readonly lease?: number;
}

export type Step =
  | {
      readonly do: 'backup';
      readonly form: 'archive' | 'encrypted' | 'repository';
      readonly select: Select;
      readonly via: 'range' | 'snapshot';
      /** Read by a user who may read what is under this prefix, where the source is live. */
      readonly user?: Key;
    }
  | { readonly do: 'file'; readonly form: 'snapshot' | 'raw-db' | 'data-dir' }
  | { readonly do: 'to-db'; readonly flags: Pick<RestoreFlags, 'select' | 'rename' | 'reencrypt' | 'withAuth'> }
  | {
      readonly do: 'restore';
      readonly flags: RestoreFlags;
      readonly target: readonly KeyPlan[];
      readonly dryRun: boolean;
      /** Written by a user who may read and write what is under this prefix. */
      readonly user?: Key;
    }
  | { readonly do: 'to-v2'; readonly flags: BackFlags; readonly target: readonly NodePlan[] }
  | { readonly do: 'diff'; readonly select: Select; readonly leases: boolean; readonly other: readonly KeyPlan[] }
  | { readonly do: 'verify'; readonly depth: 'segments' | 'records'; readonly against?: readonly KeyPlan[] }
  | { readonly do: 'ls'; readonly select: Select }
  | { readonly do: 'inspect'; readonly select: Select }
  | { readonly do: 'keep'; readonly how: 'copy' | 'prune' }
  | { readonly do: 'get'; readonly key: Key };

/** All that one combination is: it can be printed, made smaller, and made again. */
export interface Plan {
  /** Which of the etcds found the source is, and which the target. */
  readonly etcds: readonly [source: number, target: number];
  readonly keys: readonly KeyPlan[];
  /** Whether there are users and roles. */
  readonly auth: boolean;
  readonly steps: readonly Step[];
}

/** Ids and granted TTLs (seconds): far apart, and long enough for any round. The target may have an id with another TTL. */
export const LEASES = [
  { id: '1001', ttl: 300 },
  { id: '1002', ttl: 900 },
  { id: '1003', ttl: 5000 },
  { id: '1001', ttl: 5000 },
] as const;

const PLAIN = ['/a/1', '/a/2', '/a/b/1', '/a/b/2', '/ab', '/b/1', '/b/2', '/b/b/1', '/c', 'x', '/a/b', '\xff\xfe'];
const OBJECTS = [
  ...['/registry/configmaps/n1/c1', '/registry/configmaps/n2/c1', '/registry/configmaps/n1/c2', '/registry/secrets/n1/s1'],
  ...['/registry/secrets/n2/s2', '/registry/namespaces/n1', '/k8s/secrets/n1/s1', '/k8s/configmaps/n1/c1'],
];
const OWN = [
  ...['/registry/leases/n1/l1', '/registry/events/n1/e1', '/registry/masterleases/10.0.0.1', '/k8s/leases/n1/l1'],
  ...['/k8s/masterleases/10.0.0.2', 'compact_rev_key', '/b/compact_rev_key', '/registry/peerserverleases/p'],
];

/** What a key of a plan holds, as the model knows it. */
export function entryOf({ key, value, lease }: KeyPlan): Entry {
  const held = lease === undefined ? {} : { lease: LEASES[lease] as Lease };
  const [, , resource = '', ...rest] = key.split('/');
  const kind = KINDS[resource];
  if (!/^(json2?|aesgcm|aescbc)$/.test(value) || kind === undefined) return { value, ...held };
  const namespace = rest.length > 1 ? { namespace: rest[0] as string } : {};
  const labels = value === 'json2' ? { labels: { changed: 'yes' } } : {};
  const plain = JSON.stringify({ kind, apiVersion: 'v1', metadata: { name: rest.at(-1), ...namespace, ...labels } });
  if (value.startsWith('json')) return { value: plain, object: { kind, ...namespace }, ...held };
  const how = value === 'aesgcm' ? 'aesgcm' : 'aescbc';
  return { value: seal(how, key, plain), sealed: { plain, bound: how === 'aesgcm' }, ...held };
}

export function contentsOf(keys: readonly KeyPlan[]): Contents {
  return new Map(keys.map((plan) => [plan.key, entryOf(plan)]));
}

/** A random combination: a source, what is made of it, and what is done with that. */
/** What the steps of a plan are chosen for. */
interface World {
  readonly kubernetes: boolean;
  readonly keys: readonly KeyPlan[];
}

export function planOf(chance: Chance, etcds: number): Plan {
  const kubernetes = chance.percent(50);
  const keys = keyPlans(chance, 2 + chance.below(8), kubernetes);
  const world = { kubernetes, keys };
  const steps: Step[] = [];
  if (chance.percent(35)) steps.push({ do: 'file', form: chance.pick(['snapshot', 'snapshot', 'raw-db', 'data-dir']) });
  else if (chance.percent(95)) steps.push(backupStep(chance, world));
  for (let more = 1 + chance.below(3); more > 0; more--) steps.push(anyStep(chance, world));
  if (chance.percent(70)) steps.push(restoreStep(chance, world));
  return { etcds: [chance.below(etcds), chance.below(etcds)], keys, auth: chance.percent(20), steps };
}

function anyStep(chance: Chance, world: World): Step {
  const { kubernetes } = world;
  const kind = chance.below(24);
  if (kind < 3) return backupStep(chance, world);
  if (kind < 6) return { do: 'to-db', flags: fileFlags(chance, world) };
  if (kind < 12) return restoreStep(chance, world);
  if (kind < 15) {
    return {
      do: 'diff',
      select: select(chance, world, 50),
      leases: chance.percent(30),
      other: keyPlans(chance, chance.below(8), kubernetes),
    };
  }
  if (kind < 17) return verifyStep(chance, world);
  if (kind < 19) return { do: 'ls', select: select(chance, world, 60) };
  if (kind < 21) return toV2Step(chance, world);
  if (kind < 22) return { do: 'inspect', select: select(chance, world, 60) };
  if (kind < 23) return { do: 'keep', how: chance.pick(['copy', 'prune']) };
  return { do: 'get', key: chance.pick(kubernetes ? OBJECTS : PLAIN.slice(0, -1)) };
}

function toV2Step(chance: Chance, world: World): Step {
  const chosen = select(chance, world, 50);
  const flags: BackFlags = {
    select: chosen,
    rename: renamePlan(chance, 30, chosen),
    leaseTtl: chance.pick(['remaining', 'granted', 'drop']),
    onConflict: chance.pick(['fail', 'skip', 'overwrite']),
    ...(chance.percent(40) ? { directoryValue: 'value' } : {}),
  };
  return { do: 'to-v2', flags, target: targetNodes(chance) };
}

function backupStep(chance: Chance, world: World): Step {
  const form = chance.pick(['archive', 'archive', 'encrypted', 'repository'] as const);
  return { do: 'backup', form, select: select(chance, world, 50), via: chance.pick(['range', 'snapshot']), ...user(chance) };
}

function fileFlags(chance: Chance, world: World): Extract<Step, { do: 'to-db' }>['flags'] {
  return {
    select: select(chance, world, 50),
    rename: renamePlan(chance, 40),
    reencrypt: world.kubernetes && chance.percent(20),
    withAuth: chance.percent(30),
  };
}

/** Now and then somebody who may do something under one prefix alone. */
function user(chance: Chance): { readonly user?: Key } {
  return chance.percent(12) ? { user: chance.pick(['/a/', '/registry/', '/b']) } : {};
}

function verifyStep(chance: Chance, { kubernetes }: World): Step {
  const depth = chance.pick(['segments', 'records'] as const);
  if (chance.percent(50)) return { do: 'verify', depth };
  return { do: 'verify', depth, against: keyPlans(chance, chance.below(10), kubernetes) };
}

function restoreStep(chance: Chance, world: World): Step {
  const { kubernetes } = world;
  const chosen = select(chance, world, 60);
  const target = chance.percent(30) ? [] : keyPlans(chance, chance.below(9), kubernetes);
  const flags: RestoreFlags = {
    select: chosen,
    rename: renamePlan(chance, 35, chosen),
    onConflict: chance.pick(['fail', 'skip', 'overwrite', 'overwrite']),
    leaseTtl: chance.percent(70) ? 'granted' : chance.pick(['remaining', 'deadline', 'drop']),
    deleteExtra: chance.percent(chosen.prefixes.length > 0 ? 50 : 5),
    includeRuntime: kubernetes && chance.percent(20),
    reencrypt: kubernetes && chance.percent(25),
    withAuth: chance.percent(15),
  };
  return { do: 'restore', flags, target, dryRun: chance.percent(25), ...(flags.withAuth ? {} : user(chance)) };
}

function keyPlans(chance: Chance, count: number, kubernetes: boolean): KeyPlan[] {
  const own = kubernetes ? chance.some(OWN, chance.below(4)) : [];
  const names = kubernetes ? [...PLAIN.slice(0, 6), ...OBJECTS, ...OBJECTS] : PLAIN;
  const keys = new Set([...chance.some(names, count), ...own]);
  // An id that the source has, now and then with another TTL.
  const leases = chance.percent(70) ? [0, 1, 2] : [1, 2, 3];
  return [...keys].map((key) => keyPlan(chance, key, leases));
}

function keyPlan(chance: Chance, key: Key, leases: readonly number[]): KeyPlan {
  const lease = chance.percent(/masterleases|events/.test(key) ? 70 : 25) ? { lease: chance.pick(leases) } : {};
  if (/\/(secrets)\//.test(key)) return { key, value: chance.pick(['json', 'aesgcm', 'aesgcm', 'aescbc']), ...lease };
  if (OBJECTS.includes(key) || /(leases|events)\/n1/.test(key)) return { key, value: chance.pick(['json', 'json', 'json2']), ...lease };
  return { key, value: chance.pick(['one', 'two', '']), ...lease };
}

function select(chance: Chance, { kubernetes, keys }: World, percent: number): Select {
  // A selection that matches nothing is worth a try, but ends it.
  const all = kubernetes ? PREFIXES : PREFIXES.slice(0, 10);
  const known = chance.percent(20) ? all : all.filter((prefix) => keys.some(({ key }) => key.startsWith(prefix)));
  const objects = kubernetes && chance.percent(20);
  return {
    prefixes: known.length === 0 ? [] : chance.few(known, percent),
    excludes: chance.few(known.slice(2), percent / 4),
    kinds: objects ? chance.few(['ConfigMap', 'Secret', 'Namespace', 'Lease'], 70) : [],
    namespaces: objects ? chance.few(['n1', 'n2', 'n9'], 60) : [],
    allowEmpty: chance.percent(15),
  };
}

const MAPS: readonly (readonly [from: Key, to: Key])[] = [
  ['/a/', '/b/'],
  ['/a/', '/z/'],
  ['/a/b/', '/a/'],
  ['/b/', '/registry/leases/n1/'],
  ['/registry/', '/k8s/'],
  ['/k8s/', '/registry/'],
  ['/a', '/a'],
  ['/b/', ''],
  ['/registry/secrets/', '/registry/configmaps/'],
  ['x', 'compact_rev_key'],
  ['/', '/r/'],
];

/** @param chosen what is chosen by then: a prefix is stripped mostly off keys that have it */
export function renamePlan(chance: Chance, percent: number, chosen?: Select): Rename {
  if (!chance.percent(percent)) return { maps: [], strip: '', add: '' };
  const maps = chance.percent(70) ? chance.few(MAPS, 90) : [];
  const fits = chosen?.prefixes.length === 1 && chance.percent(80) ? chosen.prefixes : ['/', '/a/', '/registry'];
  const strip = chance.percent(25) ? chance.pick(fits) : '';
  return { maps: uniqueSources(maps), strip, add: chance.percent(35) ? chance.pick(['/z', '/a/', '/registry', '/k8s']) : '' };
}

function uniqueSources(maps: readonly (readonly [Key, Key])[]): (readonly [Key, Key])[] {
  return maps.filter(([from], i) => maps.findIndex(([other]) => other === from) === i);
}
