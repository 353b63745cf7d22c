import { FerryError } from '../errors.js';
import type { TreeNode } from '../model/node.js';
import { NoteBook } from '../model/note.js';
import type { RunContext } from '../model/run.js';
import { compareTreePaths } from '../model/tree-path.js';
import { encodeNode } from '../wire/node.js';
import type { V2Cluster } from './v2.js';
import type { ReadTree, TreeRequest } from './v2-read-tree.js';
import { NodeSpool } from './v2-spool.js';

/** What is known of the directories above something. */
export interface Above {
  /** Those that are there, from the root down. */
  readonly nodes: readonly TreeNode[];
  /** Those that may not be looked at. */
  readonly notReadable: readonly Buffer[];
}

/**
 * Looks at the directories above paths one by one: a listing of what lies under them says nothing of them.
 *
 * @throws FerryError as V2Cluster does, but for `unauthorized`
 */
export async function lookAbove({ cluster }: Pick<TreeRequest, 'cluster'>, paths: readonly Buffer[], run: RunContext): Promise<Above> {
  const above = new Map(paths.flatMap(directoriesAbove).map((path) => [path.toString('latin1'), path]));
  const [nodes, notReadable]: [TreeNode[], Buffer[]] = [[], []];
  for (const path of above.values()) {
    try {
      const node = await lookAt(cluster, path, run.signal);
      if (node?.path.equals(path) === true) nodes.push(node);
    } catch (thrown) {
      const error = FerryError.from(thrown);
      if (error.code !== 'unauthorized') throw error;
      notReadable.push(path);
    }
  }
  return { nodes: nodes.sort((a, b) => compareTreePaths(a.path, b.path)), notReadable };
}

/**
 * Reads the directories above trees, of which the answers for these say nothing, and keeps those with
 * a TTL. Where one may not be looked at, a note says so.
 *
 * @param trees those read; the new one counts as read with the first of them
 * @returns none where there is nothing to tell
 */
export async function readAbove(
  request: TreeRequest,
  trees: readonly Pick<ReadTree, 'path' | 'index' | 'clusterId'>[],
  run: RunContext,
): Promise<ReadTree[]> {
  const paths = trees.map(({ path }) => path);
  const { nodes, notReadable } = await lookAbove(request, paths, run);
  const mortal = nodes.filter(({ dir, expiration }) => dir && expiration !== 0n);
  if (mortal.length === 0 && notReadable.length === 0) return [];
  const notes = new NoteBook();
  const message = 'directories above what was read that may not be looked at: if they have a TTL, it is not known';
  for (const path of notReadable) notes.add('directory-not-readable', message, { example: path.toString() });
  const { index, clusterId } = trees[0] as (typeof trees)[0];
  return [
    { path: Buffer.alloc(0), spool: await spooled(mortal, request.tmpDir), notes, index, clusterId, clockOffset: 0n, isMissing: false },
  ];
}

/** Nodes in tree order as a spool; the caller's to close. */
export async function spooled(nodes: readonly TreeNode[], tmpDir: string): Promise<NodeSpool> {
  const spool = await NodeSpool.create(tmpDir);
  try {
    for (const node of nodes) spool.append(encodeNode(node));
    await spool.flush({ all: true });
    return spool;
  } catch (thrown) {
    await spool.close();
    throw thrown;
  }
}

/** Also as a directory, with its slash: a permission of `/app/*` covers that alone. */
async function lookAt(cluster: V2Cluster, path: Buffer, signal: AbortSignal): Promise<TreeNode | undefined> {
  try {
    return await cluster.get(path, signal);
  } catch (thrown) {
    if (!(thrown instanceof FerryError) || thrown.code !== 'unauthorized') throw thrown;
    return await cluster.get(Buffer.concat([path, Buffer.from('/')]), signal);
  }
}

function directoriesAbove(path: Buffer): Buffer[] {
  const above: Buffer[] = [];
  for (let slash = path.indexOf('/', 1); slash !== -1; slash = path.indexOf('/', slash + 1)) above.push(path.subarray(0, slash));
  return above;
}
