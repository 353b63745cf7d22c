import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { hashKv } from '../../src/readers/snapshot-file-hashkv.js';
import { memorySource, testdata } from '../support/bytes.js';
import { V3_DATA } from '../support/snapshots.js';

describe.each(V3_DATA)('hashkv of $name', ({ name, file, all }) => {
  test('is what the server said', async () => {
    const json = readFileSync(join(import.meta.dirname, `../../testdata/etcd-v3/${name}.hashkv.json`), 'utf8');
    const [{ HashKV }] = JSON.parse(json) as [{ HashKV: { hash: number; compact_revision: number } }];
    const expected = { hash: HashKV.hash, compactRevision: BigInt(HashKV.compact_revision), revision: all.revision };
    expect(await hashKv(memorySource(file))).toEqual(expected);
    expect(await hashKv(memorySource(file.subarray(0, -32)), { revision: all.revision })).toEqual(expected);
  });

  test('of a damaged file, or a revision it does not have, is refused', async () => {
    const changed = Buffer.from(file);
    changed[changed.length - 40] = (changed[changed.length - 40] as number) ^ 1;
    await expect(hashKv(memorySource(changed))).rejects.toMatchObject({ code: 'damaged' });
    await expect(hashKv(memorySource(file), { revision: 2n })).rejects.toMatchObject({ code: 'compacted' });
    await expect(hashKv(memorySource(file), { revision: 10_000n })).rejects.toMatchObject({ code: 'future-revision' });
  });
});

test('hashkv of a file that was never compacted', async () => {
  const { compactRevision } = await hashKv(memorySource(testdata('kubernetes-1.20/plain.db.gz')));
  expect(compactRevision).toBe(-1n);
});
