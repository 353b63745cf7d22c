import { batchOf } from '../../src/model/batch.js';
import type { TreeNode } from '../../src/model/node.js';
import { NoteBook } from '../../src/model/note.js';
import { EVERYTHING, type Source } from '../../src/model/source.js';
import { encodeNode } from '../../src/wire/node.js';

/** A node by what matters in a test. */
export type MadeNode = Partial<Omit<TreeNode, 'path'>> & { readonly path: string | Buffer };

export function file(path: string, value: string | Buffer = 'v', expiration = 0n): MadeNode {
  return { path, value: Buffer.from(value as string), expiration };
}

export function dir(path: string, expiration = 0n): MadeNode {
  return { path, dir: true, expiration };
}

/** An expiration so many seconds from now. */
export function inSeconds(seconds: number): bigint {
  return BigInt(Date.now() + seconds * 1000) * 1_000_000n;
}

/** A tree made by hand, of nodes in tree order; can be read any number of times. */
export function treeOf(...nodes: MadeNode[]): Source {
  const records = nodes.map(({ path, ...rest }) =>
    encodeNode({
      dir: false,
      value: Buffer.alloc(0),
      createdIndex: 1n,
      modifiedIndex: 1n,
      expiration: 0n,
      ...rest,
      path: Buffer.from(path as string),
    }),
  );
  return {
    info: { kind: 'archive', api: 'v2', order: 'tree', location: 'by hand', revision: 9n, startedAt: 0, selection: EVERYTHING },
    notes: new NoteBook(),
    leases: async function* () {},
    auth: async () => undefined,
    records: async function* () {
      // Small batches: what reaches over their ends is seen.
      for (let at = 0; at < records.length; at += 2) yield batchOf(records.slice(at, at + 2));
    },
    close: async () => {},
  };
}
