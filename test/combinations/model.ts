/**
 * What the commands have to do, by README, docs and help alone: nothing of src is imported here. Keys are few, so every
 * question is answered by going through all of them.
 */

/** Latin-1 text: a character is a byte. */
export type Key = string;

export interface Lease {
  readonly id: string;
  /** Seconds, as granted. */
  readonly ttl: number;
}

export interface KubernetesObject {
  readonly kind: string;
  readonly namespace?: string;
}

export interface Entry {
  readonly value: string;
  readonly lease?: Lease;
  /** What a Kubernetes object that can be read says of itself. */
  readonly object?: KubernetesObject;
  /** A value that is encrypted at rest: what is in it, and whether it opens under its own key alone. */
  readonly sealed?: { readonly plain: string; readonly bound: boolean };
}

export type Contents = ReadonlyMap<Key, Entry>;

/** Which keys were asked for. */
export interface Select {
  readonly prefixes: readonly Key[];
  readonly excludes: readonly Key[];
  readonly kinds: readonly string[];
  readonly namespaces: readonly string[];
  readonly allowEmpty: boolean;
}

export interface Rename {
  readonly maps: readonly (readonly [from: Key, to: Key])[];
  readonly strip: Key;
  readonly add: Key;
}

/** A source as its reader knows it. */
export interface Known {
  readonly contents: Contents;
  /** Whether what it was made of has, or could have had, a key of this name. */
  readonly speaksFor: (key: Key) => boolean;
  /** Whether it tells what it was made of: etcd's own files do not. */
  readonly tells: boolean;
  /** Where it was made of objects that were chosen: which. It knows nothing of all others. */
  readonly objects?: (key: Key, entry: Entry) => boolean;
  readonly live: boolean;
  /** Whether users and roles are in it. */
  readonly auth: boolean;
}

/** Everything that a command may end with, and what the target holds then: what it held before, unless it ends with 0 or 3. */
export interface Outcome {
  readonly exits: ReadonlySet<number>;
  readonly after: Contents;
  /** Why it may not end with 0, where it may not. */
  readonly why: readonly string[];
}

export const ALL: Select = { prefixes: [], excludes: [], kinds: [], namespaces: [], allowEmpty: false };

export function isChosen(select: Select, key: Key, entry: Entry): boolean {
  return isCovered(select, key) && isObjectChosen(select, key, entry);
}

/** Every resource in these tests, and the kind of its objects. */
export const KINDS: Readonly<Record<string, string>> = {
  configmaps: 'ConfigMap',
  secrets: 'Secret',
  namespaces: 'Namespace',
  leases: 'Lease',
  events: 'Event',
};

/** docs/kubernetes.md, choosing objects: of an encrypted value the key tells, under a storage prefix that is known. */
function objectOf(key: Key, { object, sealed }: Entry): KubernetesObject | undefined {
  if (sealed === undefined) return object;
  const storage = STORAGE.find((prefix) => key.startsWith(prefix));
  const [resource = '', ...rest] = key.slice(storage?.length).split('/');
  const kind = KINDS[resource];
  if (storage === undefined || kind === undefined) return undefined;
  return { kind, ...(rest.length > 1 ? { namespace: rest[0] as string } : {}) };
}

export function isCovered({ prefixes, excludes }: Select, key: Key): boolean {
  const within = prefixes.length === 0 || prefixes.some((prefix) => key.startsWith(prefix));
  return within && !excludes.some((prefix) => key.startsWith(prefix));
}

function isObjectChosen({ kinds, namespaces }: Select, key: Key, entry: Entry): boolean {
  const object = objectOf(key, entry);
  if (kinds.length > 0 && !kinds.includes(object?.kind ?? '')) return false;
  return namespaces.length === 0 || namespaces.includes(object?.namespace ?? '');
}

export function choosesObjects({ kinds, namespaces }: Select): boolean {
  return kinds.length > 0 || namespaces.length > 0;
}

export function choose(contents: Contents, select: Select): Contents {
  return new Map([...contents].filter(([key, entry]) => isChosen(select, key, entry)));
}

/**
 * What was chosen matches nothing where the source has something: refused, unless it is meant. Where everything was left out
 * rather than nothing chosen, either will do.
 */
export function exitsOfChoice(contents: Contents, select: Select): number[] {
  if (contradicts(select) && contents.size === 0) return [0, 2];
  if (select.allowEmpty || contents.size === 0 || choose(contents, select).size > 0) return [0];
  if (choosesObjects(select) || choose(contents, { ...select, excludes: [] }).size === 0) return [2];
  return [0, 2];
}

/** Whether all that is chosen is left out, whatever there is. */
function contradicts({ prefixes, excludes, allowEmpty }: Select): boolean {
  return !allowEmpty && prefixes.length > 0 && prefixes.every((prefix) => excludes.some((exclude) => prefix.startsWith(exclude)));
}

/** A backup: what the new archive is, or why there is none. */
export function backedUp(source: Known, select: Select): { readonly exits: ReadonlySet<number>; readonly archive: Known } {
  const archive: Known = {
    contents: choose(source.contents, select),
    speaksFor: (key) => source.speaksFor(key) && isCovered(select, key),
    // What a file of etcd's own does not tell, nothing that is made of it can.
    tells: source.tells,
    ...(source.objects === undefined && !choosesObjects(select)
      ? {}
      : { objects: (key, entry) => source.objects?.(key, entry) !== false && isObjectChosen(select, key, entry) }),
    live: false,
    auth: source.auth,
  };
  return { exits: new Set(exitsOfChoice(source.contents, select)), archive };
}

/** A backup by a user who may read what is under one prefix. */
export function backedUpBy(prefix: Key, source: Known, select: Select, via: 'range' | 'snapshot'): ReturnType<typeof backedUp> {
  const { exits, archive } = backedUp(source, select);
  const known = { ...archive, auth: false };
  const may = via === 'range' && select.prefixes.length > 0 && select.prefixes.every((each) => each.startsWith(prefix));
  if (!may) return { exits: new Set(contradicts(select) ? [2, 10] : [10]), archive: known };
  // Whether there is anything else is not this user's to know.
  return { exits: new Set(exits.has(0) ? exits : [0, ...exits]), archive: known };
}

/** A restore by a user who may read and write what is under one prefix. */
export function restoredBy(prefix: Key, source: Known, flags: RestoreFlags, target: Contents): Outcome {
  const outcome = restored(source, flags, target);
  const touched = [...toBeWritten(source, flags).contents.keys()].filter((name) => flags.includeRuntime || name !== 'compact_rev_key');
  if (touched.length > 0 && touched.every((name) => name.startsWith(prefix)) && !flags.deleteExtra) return outcome;
  const only = flags.deleteExtra || touched.length === 0 ? outcome.exits : [...outcome.exits].filter((exit) => exit !== 0);
  return { ...outcome, exits: new Set([...only, 10]), why: [...outcome.why, `not all is under ${prefix}`] };
}

/** docs/restore-live-v3.md, renaming: undefined for a key that is not under the prefix to strip, or of which nothing is left. */
export function renamed({ maps, strip, add }: Rename, key: Key): Key | undefined {
  const [longest] = maps.filter(([from]) => key.startsWith(from)).sort(([a], [b]) => b.length - a.length);
  const moved = longest === undefined ? key : longest[1] + key.slice(longest[0].length);
  if (!moved.startsWith(strip)) return undefined;
  const name = add + moved.slice(strip.length);
  return name === '' ? undefined : name;
}

function reachesAll(rename: Rename, prefix: Key): boolean {
  return renamed(rename, `${prefix}~probe`) === '~probe';
}

/** Every name that a key could have had to be called so now. */
export function originsOf(rename: Rename, name: Key): Key[] {
  if (!name.startsWith(rename.add)) return [];
  const moved = rename.strip + name.slice(rename.add.length);
  const back = rename.maps.filter(([, to]) => moved.startsWith(to)).map(([from, to]) => from + moved.slice(to.length));
  return [...new Set([moved, ...back])].filter((origin) => renamed(rename, origin) === name);
}

interface Moved {
  readonly contents: Map<Key, Entry & { readonly from: Key }>;
  readonly why: string[];
}

function move(contents: Contents, rename: Rename): Moved {
  const moved: Moved = { contents: new Map(), why: [] };
  for (const [key, entry] of contents) {
    const name = renamed(rename, key);
    if (name === undefined) moved.why.push(`${key} cannot be renamed`);
    else if (moved.contents.has(name)) moved.why.push(`two keys become ${name}`);
    else moved.contents.set(name, { ...entry, from: key });
  }
  return moved;
}

/** Storage prefixes that need no flag: docs/kubernetes.md. */
const STORAGE = ['/registry/', '/kubernetes.io/', '/openshift.io/'];
const RUNTIME = ['masterleases/', 'peerserverleases/', 'events/', 'leases/'];

/** What API servers keep for themselves, by its name in the target. */
export function isRuntime(name: Key): boolean {
  return name === 'compact_rev_key' || STORAGE.some((prefix) => RUNTIME.some((part) => name.startsWith(prefix + part)));
}

export function runsKubernetes(target: Contents): boolean {
  if (target.has('compact_rev_key')) return true;
  return [...target].some(([key, { lease }]) => lease !== undefined && STORAGE.some((prefix) => key.startsWith(`${prefix}masterleases/`)));
}

export function isUnderStorage(key: Key): boolean {
  return STORAGE.some((prefix) => key.startsWith(prefix));
}

export interface RestoreFlags {
  readonly select: Select;
  readonly rename: Rename;
  readonly onConflict: 'fail' | 'skip' | 'overwrite';
  readonly leaseTtl: 'granted' | 'remaining' | 'deadline' | 'drop';
  readonly deleteExtra: boolean;
  readonly includeRuntime: boolean;
  readonly withAuth: boolean;
  readonly reencrypt: boolean;
}

/** Why a value that is bound to its key may not move as it is. */
export const CLOSED = 'would not open any more';

/** What is to be written, before anything is known of the target. */
export function toBeWritten(
  source: Known,
  flags: Pick<RestoreFlags, 'select' | 'rename' | 'reencrypt'>,
): Moved & { readonly perhaps: string[] } {
  const moved = move(choose(source.contents, flags.select), flags.rename);
  const perhaps: string[] = [];
  const choice = exitsOfChoice(source.contents, flags.select);
  if (choice.includes(2)) (choice.includes(0) ? perhaps : moved.why).push('nothing is chosen');
  for (const [name, { from, sealed }] of moved.contents) {
    if (sealed?.bound !== true) continue;
    const known = isUnderStorage(from) && isUnderStorage(name);
    if (flags.reencrypt) {
      // Which resource a key is of is not known elsewhere: refused, or sealed for its new name all the same.
      if (!known) perhaps.push(`${name} is no path of a storage prefix that is known`);
    } else if (from !== name) moved.why.push(`${name} ${CLOSED}`);
  }
  return { ...moved, perhaps };
}

/** A restore into a new snapshot file: what it is then, or why there is none. */
export function filed(
  source: Known,
  { select, rename, reencrypt, withAuth }: Pick<RestoreFlags, 'select' | 'rename' | 'reencrypt' | 'withAuth'>,
): { readonly exits: ReadonlySet<number>; readonly file: Known; readonly why: readonly string[] } {
  const { contents, why, perhaps } = toBeWritten(source, { select, rename, reencrypt });
  const exits = new Set(why.length > 0 ? [2] : perhaps.length > 0 ? [0, 2] : [0]);
  const speaksFor = (name: Key): boolean => originsOf(rename, name).some((origin) => source.speaksFor(origin) && isCovered(select, origin));
  const { archive } = backedUp(source, select);
  return { exits, why, file: { ...archive, contents, speaksFor, auth: source.auth && withAuth } };
}

/** A restore into a live v3 cluster. */
export function restored(source: Known, flags: RestoreFlags, target: Contents): Outcome {
  const { contents: named, why, perhaps } = toBeWritten(source, flags);
  const spares = !flags.includeRuntime && runsKubernetes(target);
  const isSpared = (name: Key): boolean => !flags.includeRuntime && (name === 'compact_rev_key' || (spares && isRuntime(name)));
  const wanted = new Map([...named].filter(([name]) => !isSpared(name)));
  const exits = new Set<number>(why.length > 0 ? [2] : [0]);
  if (perhaps.length > 0) exits.add(2);
  if (flags.deleteExtra)
    refusals(source, flags).forEach((reason) => {
      exits.delete(0);
      exits.add(2);
      why.push(reason);
    });
  // Whoever names a part and means all of the target may be asked to say so.
  if (flags.deleteExtra && flags.select.prefixes.some((prefix) => prefix !== '' && reachesAll(flags.rename, prefix))) exits.add(2);
  const conflicts = [...wanted].filter(([name, entry]) => target.has(name) && !isSame(entry, target.get(name) as Entry, flags));
  if (conflicts.length > 0 && flags.onConflict === 'fail') {
    exits.delete(0);
    exits.add(11);
    why.push(`${conflicts.map(([name]) => name).join(', ')} in the way`);
  }
  const after = new Map(target);
  for (const [name, entry] of wanted) {
    if (!target.has(name) || flags.onConflict === 'overwrite') after.set(name, landed(entry, flags));
  }
  if (flags.deleteExtra) {
    for (const name of target.keys()) if (!named.has(name) && !isSpared(name) && isAskedFor(source, flags, name)) after.delete(name);
  }
  return { exits, after, why };
}

function isSame(entry: Entry, there: Entry, flags: RestoreFlags): boolean {
  const ttl = flags.leaseTtl === 'drop' ? undefined : entry.lease?.ttl;
  return entry.value === there.value && ttl === there.lease?.ttl && !(flags.reencrypt && entry.sealed !== undefined);
}

function landed(entry: Entry, { leaseTtl, reencrypt }: RestoreFlags): Entry {
  const { value, lease, sealed } = entry;
  return {
    value,
    ...(lease === undefined || leaseTtl === 'drop' ? {} : { lease }),
    ...(sealed !== undefined && reencrypt ? { sealed } : {}),
  };
}

/** Extraneous: what source and request both cover, after renaming. */
function isAskedFor(source: Known, { select, rename }: RestoreFlags, name: Key): boolean {
  return originsOf(rename, name).some((origin) => source.speaksFor(origin) && isCovered(select, origin));
}

/** Why keys may not be deleted at all. */
function refusals(source: Known, { select }: RestoreFlags): string[] {
  const { prefixes } = select;
  if (prefixes.length === 0) return ['--delete-extra without a prefix'];
  if (source.objects !== undefined || choosesObjects(select)) return ['--delete-extra of objects that were chosen'];
  const asked = prefixes.filter((prefix) =>
    [...probes(prefix), ...source.contents.keys()].some((key) => key.startsWith(prefix) && isCovered(select, key) && source.speaksFor(key)),
  );
  if (asked.length === 0) return ['nothing of what is asked for can be known of the source'];
  if (source.tells) return [];
  const empty = asked.filter((prefix) => ![...source.contents.keys()].some((key) => key.startsWith(prefix)));
  return empty.map((prefix) => `a file that does not tell what it was made of has no key under ${prefix}`);
}

/** Keys under a prefix, one at least in every part of it that any selection here could tell apart. */
function probes(prefix: Key): Key[] {
  return [...PREFIXES, ...MOVED]
    .filter((other) => other.startsWith(prefix) || prefix.startsWith(other))
    .map((other) => (other.length > prefix.length ? `${other}~probe` : `${prefix}~probe`));
}

/** Every prefix that is chosen or left out anywhere in these tests. */
export const PREFIXES: readonly Key[] = [
  ...['', '/', '/a', '/a/', '/a/b/', '/b/', '/c', '/zz/', 'x', '/registry/', '/registry/secrets/', '/registry/configmaps/'],
  ...['/registry/configmaps/n1/', '/registry/leases/', '/registry/masterleases/', '/k8s/', 'compact_rev_key'],
];

/** Of other contents what a source can be compared with: no more than it was made of. */
export function within({ speaksFor, objects }: Known, others: Contents): Contents {
  return new Map([...others].filter(([key, entry]) => speaksFor(key) && objects?.(key, entry) !== false));
}

/** Where the maps of these tests take some of them. */
const MOVED: readonly Key[] = [
  '/z/b/',
  '/r/a/b/',
  '/r/registry/',
  '/k8s/secrets/',
  '/k8s/configmaps/n1/',
  '/k8s/leases/',
  '/k8s/masterleases/',
  '/registry/leases/n1/b/',
];

/** A comparison of two sources: which keys differ, and how. */
export function compared(from: Contents, to: Contents, leases: boolean): Map<Key, 'added' | 'removed' | 'changed'> {
  const differences = new Map<Key, 'added' | 'removed' | 'changed'>();
  for (const [key, entry] of from) {
    const other = to.get(key);
    if (other === undefined) differences.set(key, 'removed');
    else if (other.value !== entry.value || (leases && other.lease?.id !== entry.lease?.id)) differences.set(key, 'changed');
  }
  for (const key of to.keys()) if (!from.has(key)) differences.set(key, 'added');
  return differences;
}
