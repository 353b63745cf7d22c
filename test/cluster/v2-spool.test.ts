import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { NodeSpool } from '../../src/cluster/v2-spool.js';
import { batchBytes } from '../../src/model/batch.js';
import type { TreeNode } from '../../src/model/node.js';
import { encodeNode } from '../../src/wire/node.js';
import { bytes, int64, treeNode, uint64 } from '../support/arbitrary.js';
import { failure, nodesOf } from '../support/v2.js';

const scratch = mkdtempSync(join(tmpdir(), 'v2-spool-'));
afterAll(() => rmSync(scratch, { recursive: true }));

/** A directory whose indices come after its children. */
const directory: fc.Arbitrary<TreeNode> = fc.record({
  path: bytes({ maxLength: 40 }),
  dir: fc.constant(true),
  value: fc.constant(Buffer.alloc(0)),
  createdIndex: uint64,
  modifiedIndex: uint64,
  expiration: int64,
});

describe('a spool of nodes', () => {
  test('gives back what went in, as often as asked, with indices that came later', async () => {
    const nodes = fc.array(fc.oneof(fc.tuple(fc.constant(false), treeNode), fc.tuple(fc.constant(true), directory)), { maxLength: 300 });
    await fc.assert(
      fc.asyncProperty(nodes, async (all) => {
        const spool = await NodeSpool.create(scratch);
        const later: (() => void)[] = [];
        for (const [isPending, node] of all) {
          if (isPending) {
            const number = spool.appendPending(node.path, node.expiration);
            later.push(() => spool.complete(number, node.createdIndex, node.modifiedIndex));
          } else spool.append(encodeNode(node));
          await spool.flush();
        }
        for (const complete of later.reverse()) complete();
        await spool.flush({ all: true });
        expect(spool.count).toBe(all.length);
        const expected = all.map(([, node]) => node);
        expect(await nodesOf(spool.batches())).toEqual(expected);
        expect(await nodesOf(spool.batches())).toEqual(expected);
        await spool.close();
      }),
      { numRuns: 50 },
    );
  });

  test('takes records larger than a block, in batches that stay bounded', async () => {
    const spool = await NodeSpool.create(scratch);
    const sizes = [5, 3_000_000, 1, 700_000, 700_000, 1_048_570, 9_000_000, 0, 12];
    const nodes = sizes.map((size, i) => ({
      path: Buffer.from(`/${i}`),
      dir: false,
      value: Buffer.alloc(size, i),
      createdIndex: 1n,
      modifiedIndex: 1n,
      expiration: 0n,
    }));
    for (const node of nodes) {
      spool.append(encodeNode(node));
      await spool.flush();
    }
    await spool.flush({ all: true });
    const back = await nodesOf(spool.batches());
    expect(back.map(({ path }) => path.toString())).toEqual(nodes.map(({ path }) => path.toString()));
    expect(back.every(({ value }, i) => value.equals(nodes[i]?.value as Buffer))).toBe(true);
    for await (const batch of spool.batches()) if (batch.count > 1) expect(batchBytes(batch)).toBeLessThanOrEqual(1024 * 1024);
    await spool.close();
  });

  test('has no name in its directory, and says where it could not be made', async () => {
    const spool = await NodeSpool.create(scratch);
    expect(readdirSync(scratch)).toEqual([]);
    await spool.close();
    const missing = join(scratch, 'missing');
    expect(await failure(NodeSpool.create(missing))).toMatchObject({ code: 'not-found', message: expect.stringContaining(missing) });
  });
});
