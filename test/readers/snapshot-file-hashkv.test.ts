import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { hashKv } from '../../src/readers/snapshot-file-hashkv.js';
import { EtcdBackend } from '../../src/wire/backend.js';
import { memorySource, testdata } from '../support/bytes.js';
import { EtcdServer, etcdVersions } from '../support/etcd.js';
import { restored } from '../support/restore-file.js';
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

describe.each(etcdVersions())('hashkv of etcd $version', (etcd) => {
  test('agrees through deletions, a compaction at one of them, and later changes', async () => {
    await using server = await EtcdServer.start(etcd);
    const dir = mkdtempSync(join(tmpdir(), 'hashkv-'));
    const agree = async (name: string): Promise<void> => {
      const path = join(dir, name);
      await server.etcdctl('snapshot', 'save', path);
      const [{ HashKV }] = JSON.parse(await server.etcdctl('endpoint', 'hashkv', '-w', 'json')) as [{ HashKV: Record<string, number> }];
      const { hash, compactRevision } = await hashKv(memorySource(readFileSync(path)));
      expect([hash, Number(compactRevision)], name).toEqual([HashKV.hash, HashKV.compact_revision]);
    };
    try {
      for (const key of ['a', 'b', 'c', 'a', 'b', 'd']) await server.etcdctl('put', key, `value of ${key}`);
      await agree('never compacted');
      await server.etcdctl('del', 'b');
      await server.etcdctl('compact', '8', '--physical');
      // A new change, since some releases keep a hash for the compaction's own revision.
      await server.etcdctl('put', 'c', 'again');
      await agree('compacted at the deletion');
      await server.etcdctl('put', 'b', 'anew');
      await server.etcdctl('del', 'a');
      await agree('changed after that');
      await server.etcdctl('del', '', '--from-key');
      await server.etcdctl('compact', '12', '--physical');
      await server.etcdctl('put', 'e', 'soon gone');
      await server.etcdctl('del', 'e');
      await agree('nothing left, compacted at the deletion');
    } finally {
      rmSync(dir, { recursive: true });
    }
  });
});

describe.each(etcdVersions().filter(({ snapshotTool }) => snapshotTool.endsWith('etcdutl')))('a compaction of etcd $version', (etcd) => {
  test('that is scheduled and not finished in the file gives the hash of the etcd started on it', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'hashkv-'));
    try {
      writeFileSync(join(dir, 'v3.db'), testdata('etcd-v3/v3-35.db.gz'));
      const bump = ['--bump-revision', '1000', '--mark-compacted'];
      await using server = await restored(etcd, join(dir, 'v3.db'), {
        restoreArgs: bump,
        beforeStart: (db) => copyFileSync(db, join(dir, 'bumped.db')),
      });
      const bytes = memorySource(readFileSync(join(dir, 'bumped.db')));
      const { meta } = await EtcdBackend.open(bytes);
      expect(meta.scheduledCompactRevision).toBeGreaterThan(meta.finishedCompactRevision ?? 0n);
      const [{ HashKV }] = JSON.parse(await server.etcdctl('endpoint', 'hashkv', '-w', 'json')) as [{ HashKV: Record<string, number> }];
      const { hash, compactRevision } = await hashKv(bytes);
      expect([hash, Number(compactRevision)]).toEqual([HashKV.hash, HashKV.compact_revision]);
      await expect(hashKv(bytes, { revision: compactRevision - 1n })).rejects.toMatchObject({ code: 'compacted' });
    } finally {
      rmSync(dir, { recursive: true });
    }
  });
});

test('hashkv of a file that was never compacted', async () => {
  const { compactRevision } = await hashKv(memorySource(testdata('kubernetes-1.20/plain.db.gz')));
  expect(compactRevision).toBe(-1n);
});
