import type { V2Cluster } from '../cluster/v2.js';
import { readTree } from '../cluster/v2-read-tree.js';
import { NodeSpool } from '../cluster/v2-spool.js';
import { showKey } from '../convert/key-text.js';
import { FerryError } from '../errors.js';
import { type RecordBatch, recordAt } from '../model/batch.js';
import type { TreeNode } from '../model/node.js';
import type { NoteBook } from '../model/note.js';
import type { RunContext } from '../model/run.js';
import { compareTreePaths, isCleanPath, isHidden, isUnder } from '../model/tree-path.js';
import { decodeNode } from '../wire/node.js';
import { type ActionKind, encodeAction } from './live-v2-action.js';
import type { V2ConflictRule, V2Tally } from './live-v2-options.js';
import { isSameNode } from './live-v2-same.js';

export interface PlanOptions {
  readonly cluster: V2Cluster;
  readonly onConflict: V2ConflictRule;
  readonly tmpDir: string;
  /** Milliseconds since the Unix epoch: what expires before is left out. */
  readonly now: number;
  readonly tally: V2Tally;
  readonly notes: NoteBook;
  readonly run: RunContext;
}

const SHOWN_CONFLICTS = 3;

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
  const { cluster, tmpDir, now, run } = options;
  const tree = await readTree({ cluster, path: Buffer.alloc(0), selects: () => true, tmpDir, now }, run);
  try {
    const actions = await NodeSpool.create(tmpDir);
    try {
      await new Planner(actions, new TargetNodes(tree.spool.batches(), cluster, run), options).plan(records);
      return actions;
    } catch (thrown) {
      await actions.close();
      throw thrown;
    }
  } finally {
    await tree.spool.close();
  }
}

class Planner {
  readonly #actions: NodeSpool;
  readonly #target: TargetNodes;
  readonly #o: PlanOptions;
  readonly #now: bigint;
  #last: TreeNode | undefined;
  /** Directories of the source whose nodes are left out with them. */
  #expired: Buffer | undefined;
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

  async #consider(node: TreeNode): Promise<void> {
    const { path } = node;
    if (path.length <= 1) return;
    if (this.#isSeenDirectory(node)) return;
    this.#checkOrder(path);
    this.#last = node;
    const { tally } = this.#o;
    tally.records++;
    if (this.#leavesOut(node)) {
      tally.leftOut++;
      return;
    }
    if (!node.dir) this.#file = path;
    if (this.#skipped !== undefined && isUnder(path, this.#skipped)) {
      tally.skipped++;
      return;
    }
    const found = await this.#target.find(path);
    if (found === undefined || (found === 'under a file' && this.#replaced !== undefined && isUnder(path, this.#replaced)))
      this.#act('create', node, 0n);
    else if (found === 'under a file') this.#conflict(node, undefined);
    else if (isSameNode(node, found)) tally.equal++;
    else await this.#differs(node, found);
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

  #leavesOut({ path, dir, expiration }: TreeNode): boolean {
    const { notes } = this.#o;
    const example = showKey(path);
    if ((expiration !== 0n && expiration <= this.#now) || (this.#expired !== undefined && isUnder(path, this.#expired))) {
      if (dir && !(this.#expired !== undefined && isUnder(path, this.#expired))) this.#expired = path;
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

  async #differs(node: TreeNode, found: TreeNode): Promise<void> {
    const kind = kindOf(node, found);
    const canReplace = kind !== 'directory to file' || !(await this.#target.hasChildren(found.path));
    this.#conflict(node, canReplace ? found : undefined, kind);
  }

  /** @param found what may be replaced; undefined when nothing may */
  #conflict(node: TreeNode, found: TreeNode | undefined, kind: ActionKind = 'create'): void {
    const { onConflict, tally } = this.#o;
    if (onConflict === 'skip') {
      tally.skipped++;
      // Into a directory that is there with another TTL its nodes can go all the same.
      if (node.dir && kind !== 'set directory ttl') this.#skipped = node.path;
    } else if (onConflict === 'overwrite' && found !== undefined) {
      this.#act(kind, node, found.modifiedIndex);
    } else {
      this.#conflicts++;
      if (this.#shown.length < SHOWN_CONFLICTS) this.#shown.push(showKey(node.path));
    }
  }

  #act(kind: ActionKind, node: TreeNode, targetIndex: bigint): void {
    const { tally } = this.#o;
    if (kind === 'file to directory') this.#replaced = node.path;
    if (kind === 'create') tally.written++;
    else tally.overwritten++;
    tally.bytes += node.path.length + node.value.length;
    this.#actions.append(encodeAction({ kind, targetIndex, node }));
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

  constructor(batches: AsyncIterable<RecordBatch>, cluster: V2Cluster, run: RunContext) {
    this.#nodes = nodesOf(batches);
    this.#cluster = cluster;
    this.#run = run;
  }

  async find(path: Buffer): Promise<TreeNode | 'under a file' | undefined> {
    if (!this.#started) await this.#advance();
    this.#started = true;
    while (this.#next !== undefined && compareTreePaths(this.#next.path, path) < 0) await this.#advance();
    if (this.#file !== undefined && isUnder(path, this.#file.path)) return 'under a file';
    if (isHidden(path)) return this.#cluster.get(path, this.#run.signal);
    const found = this.#next;
    if (found === undefined || !found.path.equals(path)) return undefined;
    await this.#advance();
    return found;
  }

  /** Whether the directory that was found last has nodes in it, as far as listings show. */
  async hasChildren(path: Buffer): Promise<boolean> {
    return this.#next !== undefined && isUnder(this.#next.path, path);
  }

  async #advance(): Promise<void> {
    if (this.#next !== undefined && !this.#next.dir) this.#file = this.#next;
    const { done, value } = await this.#nodes.next();
    this.#next = done === true ? undefined : value;
  }
}

async function* nodesOf(batches: AsyncIterable<RecordBatch>): AsyncGenerator<TreeNode> {
  for await (const batch of batches) for (let i = 0; i < batch.count; i++) yield decodeNode(recordAt(batch, i));
}
