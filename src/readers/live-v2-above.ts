import type { ReadTree, TreeRequest } from '../cluster/v2-read-tree.js';
import { NodeSpool } from '../cluster/v2-spool.js';
import { FerryError } from '../errors.js';
import type { TreeNode } from '../model/node.js';
import { NoteBook } from '../model/note.js';
import type { RunContext } from '../model/run.js';
import { encodeNode } from '../wire/node.js';

/**
 * Reads the directories above `request.path`, of which the answer for it says nothing, and keeps
 * those with a TTL. They are looked at one by one; where that is not allowed, a note says so.
 *
 * @param index the X-Etcd-Index they count as read at
 */
export async function readAbove(request: TreeRequest, index: bigint, run: RunContext): Promise<ReadTree[]> {
  const { cluster, path, tmpDir } = request;
  const notes = new NoteBook();
  const mortal: TreeNode[] = [];
  for (const above of directoriesAbove(path)) {
    try {
      const node = await cluster.get(above, run.signal);
      if (node?.dir === true && node.expiration !== 0n) mortal.push(node);
    } catch (thrown) {
      const error = FerryError.from(thrown);
      if (error.code !== 'unauthorized') throw error;
      notes.add(
        'directory-not-readable',
        'directories above what was read that may not be looked at: if they have a TTL, it is not known',
        {
          example: above.toString(),
        },
      );
    }
  }
  if (mortal.length === 0 && notes.list().length === 0) return [];
  const spool = await NodeSpool.create(tmpDir);
  try {
    for (const node of mortal) spool.append(encodeNode(node));
    await spool.flush({ all: true });
    return [{ path, spool, notes, index, clusterId: undefined, clockOffset: 0n }];
  } catch (thrown) {
    await spool.close();
    throw thrown;
  }
}

function directoriesAbove(path: Buffer): Buffer[] {
  const above: Buffer[] = [];
  for (let slash = path.indexOf('/', 1); slash !== -1; slash = path.indexOf('/', slash + 1)) above.push(path.subarray(0, slash));
  return above;
}
