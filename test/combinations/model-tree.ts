/** What the commands have to make of a v2 tree, by docs/v2.md alone. Nothing of src is imported here. */
import {
  ALL,
  CLOSED,
  type Contents,
  type Entry,
  exitsOfChoice,
  isCovered,
  type Key,
  type Known,
  type Outcome,
  type Rename,
  renamed,
  type Select,
  toBeWritten,
} from './model.js';

export interface TreeNode {
  readonly dir: boolean;
  readonly value: string;
  /** Seconds, from when it was written; none for what is permanent. */
  readonly ttl?: number;
}

/** By path; the root is no member. */
export type Tree = ReadonlyMap<Key, TreeNode>;

/** Every directory above a path, from the top. */
export function above(path: Key): Key[] {
  const parts = path.split('/').slice(1, -1);
  return parts.map((_, i) => `/${parts.slice(0, i + 1).join('/')}`);
}

/** When a node goes: when its own time comes, or that of a directory above it. */
export function endOf(tree: Tree, path: Key): number | undefined {
  const ttls = [...above(path), path].map((each) => tree.get(each)?.ttl).filter((ttl) => ttl !== undefined);
  return ttls.length === 0 ? undefined : Math.min(...ttls);
}

export function isHidden(path: Key): boolean {
  return path.split('/').some((part) => part.startsWith('_'));
}

/** What a live server shows: nothing hidden but what is asked for by name, and in that nothing more that is hidden. */
export function shownTo(tree: Tree, asked: readonly Key[]): Tree {
  const isShown = (path: Key): boolean => {
    if (!isHidden(path)) return true;
    return asked.some(
      (name) => path === name || (path.startsWith(`${name}/`) && !isHidden(path.slice(name.length))) || name.startsWith(`${path}/`),
    );
  };
  return new Map([...tree].filter(([path]) => isShown(path)));
}

/** A node that was chosen: `ttl` is its end by all that lies above it. */
export interface ChosenNode extends TreeNode {
  /** Its end by itself, and by what lies above it and was not chosen. */
  readonly own?: number;
}

export function chosenOf(tree: Tree, select: Select): ReadonlyMap<Key, ChosenNode> {
  const chosen = new Map<Key, ChosenNode>();
  for (const [path, { dir, value }] of tree) {
    if (!isCovered(select, path)) continue;
    const [ttl, own] = [endOf(tree, path), endOf(withoutChosen(tree, select, path), path)];
    chosen.set(path, { dir, value, ...(ttl === undefined ? {} : { ttl }), ...(own === undefined ? {} : { own }) });
  }
  return chosen;
}

function withoutChosen(tree: Tree, select: Select, but: Key): Tree {
  return new Map([...tree].filter(([path]) => path === but || !isCovered(select, path)));
}

/** What a backup of it holds. */
export function backedUpTree(tree: Tree, select: Select): Tree {
  const entries = [...chosenOf(tree, select)].map(
    ([path, { dir, value, own }]) => [path, { dir, value, ...(own === undefined ? {} : { ttl: own }) }] as const,
  );
  return new Map(entries);
}

/** Whether anything was chosen, as `exitsOfChoice` has it. */
export function exitsOfTreeChoice(tree: Tree, select: Select): number[] {
  // A path begins with a slash: what does not can never match, also of a tree with nothing in it.
  if (select.prefixes.some((prefix) => prefix !== '' && !prefix.startsWith('/'))) return [2];
  return exitsOfChoice(new Map([...tree].map(([path, { value }]) => [path, { value }])), select);
}

/** A restore into a live v2 tree, of nodes that were chosen before. Directories of the target are permanent. */
export function restoredTree(source: Tree, select: Select, onConflict: 'fail' | 'skip' | 'overwrite', target: Tree): TreeOutcome {
  const chosen = chosenOf(source, select);
  const choice = exitsOfTreeChoice(source, select);
  const exits = new Set(choice);
  const why = choice.includes(0) ? [] : ['nothing is chosen'];
  const conflicts = [...chosen].filter(([path, node]) => isInTheWay(node, target.get(path)));
  if (conflicts.length > 0 && onConflict === 'fail') {
    exits.delete(0);
    exits.add(11);
    why.push(`${conflicts.map(([path]) => path).join(', ')} in the way`);
  }
  // A directory above what was chosen that expires, and is there and permanent, may count as in the way.
  const ends = [...chosen.keys()]
    .flatMap(above)
    .filter((path) => source.get(path)?.ttl !== undefined && target.has(path) && !chosen.has(path));
  if (ends.length > 0 && onConflict === 'fail') exits.add(11);
  const after = new Map(target);
  for (const [path, node] of chosen) {
    if (!target.has(path) || (onConflict === 'overwrite' && conflicts.some(([other]) => other === path))) after.set(path, node);
  }
  for (const path of [...after.keys()].flatMap(above)) if (!after.has(path)) after.set(path, { dir: true, value: '' });
  return { exits, why, after };
}

export interface TreeOutcome {
  readonly exits: ReadonlySet<number>;
  readonly why: readonly string[];
  readonly after: Tree;
}

function isInTheWay({ dir, value, own }: ChosenNode, there: TreeNode | undefined): boolean {
  if (there === undefined) return false;
  return dir !== there.dir || (!dir && value !== there.value) || own !== there.ttl;
}

export interface MigrateFlags {
  readonly select: Select;
  readonly rename: Rename;
  readonly onConflict: 'fail' | 'skip' | 'overwrite';
  readonly ttl: 'exact' | 'permanent' | 'attach-lease=700';
  readonly emptyDirs?: 'drop' | 'marker';
  readonly hidden?: 'keep' | 'drop';
}

/** A migration into a live v3 cluster (a file: one that holds nothing). */
export function migrated(source: Tree, flags: MigrateFlags, target: Contents): Outcome & { readonly perhaps: ReadonlySet<Key> } {
  const carried = new Map([...chosenOf(source, flags.select)].filter(([path]) => flags.hidden !== 'drop' || !isHidden(path)));
  const files = [...carried].filter(([, { dir }]) => !dir);
  const empty = [...carried].filter(([path, { dir }]) => dir && !files.some(([file]) => file.startsWith(`${path}/`)));
  const markers = flags.emptyDirs === 'marker' ? empty.map(([path, node]) => [`${path}/`, node] as const) : [];
  const choice = exitsOfTreeChoice(source, flags.select);
  const why = choice.includes(0) ? [] : ['nothing is chosen'];
  const named = new Map<Key, Entry>();
  for (const [path, { value, ttl }] of [...files, ...markers]) {
    const name = renamed(flags.rename, path);
    if (name === undefined) why.push(`${path} cannot be renamed`);
    else if (named.has(name)) why.push(`two keys become ${name}`);
    else named.set(name, { value, ...leaseOf(ttl, flags.ttl) });
  }
  const conflicts = [...named].filter(([name, entry]) => {
    const there = target.get(name);
    return there !== undefined && (there.value !== entry.value || there.lease !== undefined || entry.lease !== undefined);
  });
  const exits = new Set(why.length > 0 ? [2] : choice);
  if (conflicts.length > 0 && flags.onConflict === 'fail') {
    exits.delete(0);
    exits.add(11);
    why.push(`${conflicts.map(([name]) => name).join(', ')} in the way`);
  }
  if (exits.has(0) && empty.length > 0 && flags.emptyDirs === undefined) {
    exits.delete(0);
    exits.add(3);
    why.push(`${empty[0]?.[0]} is empty`);
  }
  const after = new Map(target);
  for (const [name, entry] of named) if (!target.has(name) || flags.onConflict === 'overwrite') after.set(name, entry);
  // A directory with nothing but empty directories in it may be marked, or not.
  const nested = markers.filter(([path]) => markers.some(([other]) => other !== path && other.startsWith(path)));
  return { exits, after, why, perhaps: new Set(nested.map(([path]) => renamed(flags.rename, path) ?? path)) };
}

function leaseOf(ttl: number | undefined, how: MigrateFlags['ttl']): Pick<Entry, 'lease'> {
  if (ttl === undefined || how === 'permanent') return {};
  return { lease: { id: '', ttl: how === 'exact' ? ttl : 700 } };
}

export interface BackFlags {
  readonly select: Select;
  readonly rename: Rename;
  readonly leaseTtl: 'remaining' | 'granted' | 'drop';
  readonly onConflict: 'fail' | 'skip' | 'overwrite';
  /** Where a key has a value and others under it, the name that its value gets; none: it is left out. */
  readonly directoryValue?: string;
}

/** A migration of v3 keys into a live v2 tree: docs/v2.md, "Back to v2". */
export function migratedBack(source: Known, flags: BackFlags, target: Tree): TreeOutcome {
  const { contents, why, perhaps } = toBeWritten(source, { ...flags, reencrypt: false });
  const { tree, lossy } = treeFor(contents, flags);
  const { exits: all, why: conflicts, after } = restoredTree(tree, ALL, flags.onConflict, target);
  const exits = new Set(perhaps.length > 0 ? [...all, 2] : all);
  // No API server that keeps its objects in v2 opens sealed values: under which name they come there makes no difference.
  const others = why.filter((reason) => !reason.endsWith(CLOSED));
  if (others.length > 0) return { exits: new Set([2]), why, after };
  if (!lossy) return { exits, why: conflicts, after };
  return { exits: new Set([...exits].map((exit) => (exit === 0 ? 3 : exit))), why: [...conflicts, 'something has no place in v2'], after };
}

function treeFor(contents: Contents, { leaseTtl, directoryValue }: BackFlags): { readonly tree: Tree; readonly lossy: boolean } {
  const places = new Map<Key, TreeNode>();
  let lossy = false;
  for (const [key, { value, lease }] of [...contents].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const path = key.startsWith('/') ? key : `/${key}`;
    const isPath = isText(key) && path.split('/').every((part, i) => i === 0 || !['', '.', '..'].includes(part));
    if (path !== key || !isPath || !isText(value) || places.has(path)) lossy = true;
    if (!isPath || places.has(path)) continue;
    places.set(path, { dir: false, value, ...(lease === undefined || leaseTtl === 'drop' ? {} : { ttl: lease.ttl }) });
  }
  const tree = new Map<Key, TreeNode>();
  for (const [path, node] of places) {
    const isDirectory = [...places.keys()].some((other) => other.startsWith(`${path}/`));
    if (isDirectory && directoryValue === undefined) lossy = true;
    else tree.set(isDirectory ? `${path}/${directoryValue}` : path, node);
  }
  for (const path of [...tree.keys()].flatMap(above)) tree.set(path, { dir: true, value: '' });
  return { tree, lossy };
}

/** Whether it is UTF-8: nothing here is beyond ASCII that is. */
export function isText(bytes: string): boolean {
  return [...bytes].every((byte) => byte < '\x80');
}
