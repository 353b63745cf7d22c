import { FerryError } from '../errors.js';
import type { RunContext } from '../model/run.js';
import { isHidden } from '../model/tree-path.js';
import { type ReadTree, readTree, type TreeRequest } from './v2-read-tree.js';

const SLASH = 0x2f;

/**
 * Reads some directories of a tree, and nothing beside them, so that a user who may read no more can do
 * so. Where several are asked for, the one that holds them all is read if that is allowed: one answer is
 * one state of the store. Hidden ones are in no listing, and are read by themselves.
 *
 * @param directories none under another, but hidden ones; an empty path for the root
 * @returns the trees, to be closed by the caller; one that is not there has nothing in it
 * @throws FerryError as V2Cluster does
 */
export async function readDirectories(
  request: Omit<TreeRequest, 'path'>,
  directories: readonly Buffer[],
  run: RunContext,
): Promise<ReadTree[]> {
  const listed = directories.filter((path) => !isHidden(path));
  const hidden = directories.filter((path) => isHidden(path));
  const trees = listed.length > 1 ? await readTogether(request, listed, run) : await readEach(request, listed, run);
  return [...trees, ...(await withTrees(trees, () => readEach(request, hidden, run)))];
}

async function readTogether(request: Omit<TreeRequest, 'path'>, directories: readonly Buffer[], run: RunContext): Promise<ReadTree[]> {
  try {
    return await readEach(request, [commonDirectory(directories)], run);
  } catch (thrown) {
    if (!(thrown instanceof FerryError) || thrown.code !== 'unauthorized') throw thrown;
    return readEach(request, directories, run);
  }
}

async function readEach(request: Omit<TreeRequest, 'path'>, directories: readonly Buffer[], run: RunContext): Promise<ReadTree[]> {
  const trees: ReadTree[] = [];
  for (const path of directories) {
    trees.push(await withTrees(trees, () => readTree({ ...request, path, isDirectory: true }, run)));
  }
  return trees;
}

/** What `read` gives; where it fails, the trees are closed. */
export async function withTrees<T>(trees: readonly ReadTree[], read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (thrown) {
    await closeTrees(trees);
    throw thrown;
  }
}

export async function closeTrees(trees: readonly Pick<ReadTree, 'spool'>[]): Promise<void> {
  await Promise.all(trees.map(({ spool }) => spool.close()));
}

/** The longest path of a directory that all of these lie in, or are. */
export function commonDirectory(directories: readonly Buffer[]): Buffer {
  const [first = Buffer.alloc(0), ...others] = directories;
  let length = first.length;
  for (const other of others) {
    let same = 0;
    while (same < length && same < other.length && first[same] === other[same]) same++;
    const ends = (path: Buffer): boolean => same === path.length || path[same] === SLASH;
    length = ends(first) && ends(other) ? same : Math.max(0, first.lastIndexOf(SLASH, same - 1));
  }
  return first.subarray(0, length);
}
