import type { V2Cluster } from '../cluster/v2.js';
import { offsetText } from '../cluster/v2-clock.js';
import { mergeTrees } from '../cluster/v2-merge-trees.js';
import { lookAbove, spooled } from '../cluster/v2-read-above.js';
import { closeTrees, readDirectories, withTrees } from '../cluster/v2-read-directories.js';
import type { ReadTree } from '../cluster/v2-read-tree.js';
import { NodeSpool } from '../cluster/v2-spool.js';
import { showKey } from '../convert/key-text.js';
import { earlierEnd, InheritedEnds } from '../convert/v2-select.js';
import { FerryError } from '../errors.js';
import { type RecordBatch, recordAt } from '../model/batch.js';
import type { TreeNode } from '../model/node.js';
import type { NoteBook } from '../model/note.js';
import type { RunContext } from '../model/run.js';
import { compareTreePaths, isCleanPath, isHidden, isUnder } from '../model/tree-path.js';
import { decodeNode } from '../wire/node.js';
import { type ActionKind, encodeAction } from './live-v2-action.js';
import type { NodeDifference, SeenTree, V2ConflictRule, V2Tally } from './live-v2-options.js';
import { isSameNode, isSooner } from './live-v2-same.js';

export interface PlanOptions {
  readonly cluster: V2Cluster;
  /** The directories of the target that hold all of the nodes' paths: nothing else of it is read. */
  readonly within: readonly Buffer[];
  readonly onConflict: V2ConflictRule;
  readonly tmpDir: string;
  /** Milliseconds since the Unix epoch: what expires before is left out. */
  readonly now: number;
  readonly counted?: ((path: Buffer) => boolean) | undefined;
  readonly onTarget?: ((seen: SeenTree) => void) | undefined;
  readonly tolerance?: bigint | undefined;
  readonly onDifference?: ((path: Buffer, what: NodeDifference) => void) | undefined;
  readonly tally: V2Tally;
  readonly notes: NoteBook;
  readonly run: RunContext;
}

const SHOWN_CONFLICTS = 3;

/** A node to be written, and when it ends, by itself or with a directory above it; 0n for never. */
interface Placed {
  readonly node: TreeNode;
  readonly ends: bigint;
}

/**
 * Compares the source with the target's tree and spools what is to be done. Both are read once, in
 * tree order, side by side.
 *
 * @param records nodes in tree order, by their paths in the target
 * @returns the encoded actions, in tree order; the caller's to close
 * @throws FerryError `in-the-way` for conflicts, under the rule `fail` or where nothing can be
 *   overwritten; `usage` when the nodes are not in tree order
 */
export async function planTree(records: AsyncIterable<RecordBatch>, options: PlanOptions): Promise<NodeSpool> {
  const { cluster, tmpDir, run } = options;
  const { trees, above } = await readTarget(options);
  const all = above === undefined ? trees : [...trees, above];
  try {
    noteClock(options, cluster.clockOffset());
    if (options.onTarget !== undefined) {
      const { clusterId, index = 0n } = trees[0] ?? {};
      options.onTarget({ clusterId, index, files: await countFiles(trees, options) });
    }
    const actions = await NodeSpool.create(tmpDir);
    try {
      await new Planner(actions, new TargetNodes(mergeTrees(all.map(({ spool }) => spool.batches())), cluster, run), options).plan(records);
      return actions;
    } catch (thrown) {
      await actions.close();
      throw thrown;
    }
  } finally {
    await closeTrees(all);
  }
}

async function countFiles(trees: readonly ReadTree[], { counted = () => true }: PlanOptions): Promise<number> {
  let files = 0;
  for await (const batch of mergeTrees(trees.map(({ spool }) => spool.batches()))) {
    for (let i = 0; i < batch.count; i++) {
      const { path, dir } = decodeNode(recordAt(batch, i));
      if (!dir && counted(path)) files++;
    }
  }
  return files;
}

interface Target {
  readonly trees: readonly ReadTree[];
  readonly above: Pick<ReadTree, 'spool'> | undefined;
}

/** The part of the target's tree that is written to, and the directories above it. */
async function readTarget({ cluster, within, tmpDir, now, run }: PlanOptions): Promise<Target> {
  const trees = await readDirectories({ cluster, selects: () => true, tmpDir, now }, within, run);
  return withTrees(trees, async () => {
    const { nodes, notReadable } = await lookAbove({ cluster }, within, run);
    // Who may write below a directory, and not look at it, is taken at their word that it is there.
    const assumed = notReadable.map((path) => ({ path, dir: true, value: EMPTY, createdIndex: 0n, modifiedIndex: 0n, expiration: 0n }));
    const known = [...nodes, ...assumed].sort((a, b) => compareTreePaths(a.path, b.path));
    return { trees, above: known.length === 0 ? undefined : { spool: await spooled(known, tmpDir) } };
  });
}

const EMPTY: Buffer = Buffer.alloc(0);

/** TTLs are told in what is left, so that they mean the same by any clock; what the server says of ends does not. */
function noteClock({ notes }: PlanOptions, offset: bigint): void {
  if (offset === 0n) return;
  const message = "the target's clock and that of this machine are apart: the expirations it tells of are by its own";
  notes.add('target-clock-apart', message, { example: offsetText(offset) });
}

class Planner {
  readonly #actions: NodeSpool;
  readonly #target: TargetNodes;
  readonly #o: PlanOptions;
  readonly #now: bigint;
  #last: TreeNode | undefined;
  /** The ends of the source's directories above the node that is considered, as far as they have any. */
  readonly #above: { readonly path: Buffer; readonly ends: bigint }[] = [];
  /** Of directories that keep another TTL in the target: what is made under them is given theirs. */
  readonly #inherited = new InheritedEnds();
  #skipped: Buffer | undefined;
  /** The last value of the target that is to become a directory. */
  #replaced: Buffer | undefined;
  /** The last file of the source. */
  #file: Buffer | undefined;
  #conflicts = 0;
  readonly #shown: string[] = [];

  constructor(actions: NodeSpool, target: TargetNodes, options: PlanOptions) {
    this.#actions = actions;
    this.#target = target;
    this.#o = options;
    this.#now = BigInt(options.now) * 1_000_000n;
  }

  async plan(records: AsyncIterable<RecordBatch>): Promise<void> {
    const { tally, run } = this.#o;
    let bytes = 0;
    for await (const batch of records) {
      run.signal.throwIfAborted();
      for (let i = 0; i < batch.count; i++) {
        const record = recordAt(batch, i);
        await this.#consider(decodeNode(record));
        bytes += record.length;
      }
      await this.#actions.flush();
      run.progress({ phase: 'comparing', records: tally.records, bytes });
    }
    await this.#actions.flush({ all: true });
    if (this.#conflicts > 0) this.#refuse();
  }

  async #consider(read: TreeNode): Promise<void> {
    const { path } = read;
    if (path.length <= 1) return;
    if (this.#isSeenDirectory(read)) return;
    this.#checkOrder(path);
    this.#last = read;
    const node = this.#inherited.isEmpty ? read : this.#inherited.give(read);
    const placed = { node, ends: this.#endOf(node) };
    const { tally } = this.#o;
    tally.records++;
    if (this.#leavesOut(placed)) {
      tally.leftOut++;
      return;
    }
    if (!node.dir) this.#file = path;
    if (this.#skipped !== undefined && isUnder(path, this.#skipped)) {
      tally.skipped++;
      this.#o.onDifference?.(path, 'missing');
      return;
    }
    await this.#compare(placed);
  }

  async #compare(placed: Placed): Promise<void> {
    const { node, ends } = placed;
    const found = await this.#target.find(node.path);
    if (node.dir) this.#target.isDealtWith(node.path);
    if (found === undefined || (found === 'under a file' && this.#replaced !== undefined && isUnder(node.path, this.#replaced))) {
      this.#o.onDifference?.(node.path, 'missing');
      this.#act('create', placed, 0n);
      this.#noteSooner(placed);
    } else if (found === 'under a file') {
      this.#o.onDifference?.(node.path, 'missing');
      this.#conflict(placed, undefined);
    } else if (isSameNode(node, found.node, { ends, targetEnds: found.ends, tolerance: this.#o.tolerance })) {
      this.#o.tally.equal++;
      if (this.#noteSooner(placed)) this.#o.onDifference?.(node.path, 'lease');
    } else {
      this.#o.onDifference?.(node.path, differenceOf(node, found.node));
      await this.#differs(placed, found.node);
    }
  }

  /** When a node of the source ends, by itself or with a directory above it; they come in tree order. */
  #endOf({ path, dir, expiration }: TreeNode): bigint {
    for (let last = this.#above.at(-1); last !== undefined && !isUnder(path, last.path); last = this.#above.at(-1)) this.#above.pop();
    const ends = earlierEnd(expiration, this.#above.at(-1)?.ends ?? 0n);
    if (dir && expiration !== 0n) this.#above.push({ path, ends });
    return ends;
  }

  /** Says so where a directory of the target, none of those to be written, takes a node away before its time. */
  #noteSooner({ node, ends }: Placed): boolean {
    if (!isSooner(this.#target.endsWithOthers(node.path), ends)) return false;
    const message = 'nodes that end sooner than in the source, with a directory above them in the target, which was not chosen';
    this.#o.notes.add('ends-with-target-directory', message, { lossy: true, example: showKey(node.path) });
    return true;
  }

  #checkOrder(path: Buffer): void {
    if (this.#last !== undefined && compareTreePaths(this.#last.path, path) >= 0) {
      const [before, after] = [showKey(this.#last.path), showKey(path)];
      throw new FerryError('usage', `a v2 tree is written parents first and sorted, but ${after} comes after ${before}`, {
        hint: 'Does the mapping put two nodes in one place?',
      });
    }
  }

  /** A mapping may put two directories in one place. */
  #isSeenDirectory({ path, dir, expiration }: TreeNode): boolean {
    const last = this.#last;
    return last !== undefined && dir && last.dir && last.expiration === expiration && last.path.equals(path);
  }

  #leavesOut({ node: { path }, ends }: Placed): boolean {
    const { notes } = this.#o;
    const example = showKey(path);
    if (ends !== 0n && ends <= this.#now) {
      notes.add('expired-node-dropped', 'nodes left out because they, or a directory above them, have expired', { lossy: true, example });
      return true;
    }
    if (!isCleanPath(path)) {
      notes.add('path-not-v2', 'nodes left out because a v2 tree cannot hold their path', { lossy: true, example });
      return true;
    }
    if (this.#file !== undefined && isUnder(path, this.#file)) {
      notes.add('path-under-value', 'nodes left out because what is above them holds a value and cannot be a directory', {
        lossy: true,
        example,
      });
      return true;
    }
    return false;
  }

  async #differs(placed: Placed, found: TreeNode): Promise<void> {
    const kind = kindOf(placed.node, found);
    const canReplace = kind !== 'directory to file' || !(await this.#target.hasChildren(found.path));
    this.#conflict(placed, canReplace ? found : undefined, kind);
  }

  /** @param found what may be replaced; undefined when nothing may */
  #conflict(placed: Placed, found: TreeNode | undefined, kind: ActionKind = 'create'): void {
    const { onConflict, tally } = this.#o;
    const { node } = placed;
    if (onConflict === 'skip') {
      tally.skipped++;
      // Into a directory that is there with another TTL its nodes can go all the same.
      if (node.dir && kind === 'set directory ttl') this.#inherited.leave(node);
      else if (node.dir) this.#skipped = node.path;
    } else if (onConflict === 'overwrite' && found !== undefined) {
      this.#act(kind, placed, found.modifiedIndex);
    } else {
      this.#conflicts++;
      if (this.#shown.length < SHOWN_CONFLICTS) this.#shown.push(showKey(node.path));
    }
  }

  #act(kind: ActionKind, placed: Placed, targetIndex: bigint): void {
    const { tally } = this.#o;
    const { node } = placed;
    if (kind === 'file to directory') this.#replaced = node.path;
    if (kind === 'create') tally.written++;
    else tally.overwritten++;
    tally.bytes += node.path.length + node.value.length;
    this.#actions.append(encodeAction({ kind, targetIndex, ...placed }));
  }

  #refuse(): never {
    const more = this.#conflicts > this.#shown.length ? ', …' : '';
    const what =
      this.#o.onConflict === 'overwrite'
        ? 'cannot be replaced: a directory with nodes, or a value, is in their place'
        : 'are in the target, but not the same';
    throw new FerryError('in-the-way', `${this.#conflicts} nodes ${what}: ${this.#shown.join(', ')}${more}`, {
      hint:
        this.#o.onConflict === 'overwrite'
          ? 'Remove them from the target, or leave them alone with --on-conflict skip.'
          : 'Choose --on-conflict skip or overwrite.',
    });
  }
}

function differenceOf(node: TreeNode, found: TreeNode): NodeDifference {
  return isSameNode({ ...node, expiration: 0n }, { ...found, expiration: 0n }) ? 'lease' : 'value';
}

function kindOf(node: TreeNode, found: TreeNode): ActionKind {
  if (node.dir) return found.dir ? 'set directory ttl' : 'file to directory';
  return found.dir ? 'directory to file' : 'swap value';
}

/** The target's nodes, looked up in tree order; hidden ones, which no listing shows, one by one. */
class TargetNodes {
  readonly #nodes: AsyncGenerator<TreeNode>;
  readonly #cluster: V2Cluster;
  readonly #run: RunContext;
  #next: TreeNode | undefined;
  #started = false;
  /** The last file passed by: what lies under it cannot be made. */
  #file: TreeNode | undefined;
  /** Directories with a TTL that were passed by, from the root down. */
  #above: { readonly path: Buffer; readonly ends: bigint; isDealtWith: boolean }[] = [];

  constructor(batches: AsyncIterable<RecordBatch>, cluster: V2Cluster, run: RunContext) {
    this.#nodes = nodesOf(batches);
    this.#cluster = cluster;
    this.#run = run;
  }

  async find(path: Buffer): Promise<Placed | 'under a file' | undefined> {
    if (!this.#started) await this.#advance();
    this.#started = true;
    while (this.#next !== undefined && compareTreePaths(this.#next.path, path) < 0) await this.#advance();
    if (this.#file !== undefined && isUnder(path, this.#file.path)) return 'under a file';
    this.#above = this.#above.filter((directory) => isUnder(path, directory.path));
    const node = isHidden(path) ? await this.#cluster.get(path, this.#run.signal) : this.#next;
    if (node === undefined || !node.path.equals(path)) return undefined;
    const placed = { node, ends: earlierEnd(node.expiration, this.#above.at(-1)?.ends ?? 0n) };
    if (!isHidden(path)) await this.#advance();
    else if (node.dir && node.expiration !== 0n) this.#above.push({ path, ends: placed.ends, isDealtWith: false });
    return placed;
  }

  /** The directory that was looked for last is one of the source's, too: that it ends is its own matter. */
  isDealtWith(path: Buffer): void {
    const last = this.#above.at(-1);
    if (last?.path.equals(path)) last.isDealtWith = true;
  }

  /** When the directories above a path end that are not the source's; 0n for never. To be asked after `find`. */
  endsWithOthers(path: Buffer): bigint {
    const others = this.#above.filter((directory) => !directory.isDealtWith && isUnder(path, directory.path));
    return others.reduce((end, { ends }) => earlierEnd(end, ends), 0n);
  }

  /** Whether the directory that was found last has nodes in it, as far as listings show. */
  async hasChildren(path: Buffer): Promise<boolean> {
    return this.#next !== undefined && isUnder(this.#next.path, path);
  }

  async #advance(): Promise<void> {
    if (this.#next !== undefined && !this.#next.dir) this.#file = this.#next;
    if (this.#next?.dir === true && this.#next.expiration !== 0n) this.#pass(this.#next);
    const { done, value } = await this.#nodes.next();
    this.#next = done === true ? undefined : value;
  }

  #pass({ path, expiration }: TreeNode): void {
    const above = this.#above.filter((directory) => isUnder(path, directory.path));
    this.#above = [...above, { path, ends: earlierEnd(expiration, above.at(-1)?.ends ?? 0n), isDealtWith: false }];
  }
}

async function* nodesOf(batches: AsyncIterable<RecordBatch>): AsyncGenerator<TreeNode> {
  for await (const batch of batches) for (let i = 0; i < batch.count; i++) yield decodeNode(recordAt(batch, i));
}
