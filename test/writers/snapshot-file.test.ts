import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import type { FerryError } from '../../src/errors.js';
import { batchOf } from '../../src/model/batch.js';
import { quietRun } from '../../src/model/run.js';
import type { Source } from '../../src/model/source.js';
import { hashKv } from '../../src/readers/snapshot-file-hashkv.js';
import { createFile } from '../../src/storage/file.js';
import { encodeKeyValue } from '../../src/wire/keyvalue.js';
import { encodeRevisionKey } from '../../src/wire/revision-key.js';
import { type WriteSnapshotOptions, type WriteSnapshotReport, writeSnapshotFile } from '../../src/writers/snapshot-file.js';
import { memorySource } from '../support/bytes.js';
import { etcdVersions, newestEtcd } from '../support/etcd.js';
import { restored, snapshotStatus } from '../support/restore-file.js';
import { comparable, keyValuesOf, leasesOf, parseRange, recordsOf, snapshotSource, V3_DATA } from '../support/snapshots.js';
import { kv, lease, sourceOf } from '../support/source.js';

const dir = mkdtempSync(join(tmpdir(), 'write-snapshot-'));
afterAll(() => rmSync(dir, { recursive: true }));
let files = 0;

async function written(
  source: Source,
  options: Partial<WriteSnapshotOptions> = {},
): Promise<{ path: string; report: WriteSnapshotReport }> {
  const path = join(dir, `${++files}.db`);
  const sink = await createFile(path, { overwrite: false });
  return { path, report: await writeSnapshotFile(source, sink, { tmpDir: tmpdir(), ...options }, quietRun()) };
}

const at = (source: Source, revision: bigint): Source => ({ ...source, info: { ...source.info, revision } });

describe.each(V3_DATA)('$name through a new file', ({ file, all }) => {
  test('keeps keys, revisions, leases, users, and is reproducible', async () => {
    const first = await written(await snapshotSource(file), { withAuth: true });
    const again = await snapshotSource(readFileSync(first.path));
    expect(again.info).toMatchObject({ revision: all.revision, compactRevision: all.revision });
    expect(comparable(await keyValuesOf(again))).toEqual(comparable(all.kvs));
    const source = await snapshotSource(file);
    expect(await again.auth()).toEqual(await source.auth());
    const [before, after] = [await leasesOf(source), await leasesOf(again)];
    expect(after.map(({ id, grantedTtl }) => [id, grantedTtl])).toEqual(before.map(({ id, grantedTtl }) => [id, grantedTtl]));
    const second = await written(again, { withAuth: true });
    expect(readFileSync(second.path).equals(readFileSync(first.path))).toBe(true);
    expect(first.report).toMatchObject({ records: all.kvs.length, revision: all.revision, bytes: statSync(first.path).size });
    expect(first.report.notes.map((note) => note.code)).toContain('lease-ttl-restarts');
  });

  test('with history keeps every record and its HashKV', async () => {
    const { path } = await written(await snapshotSource(file, { history: true }), { sortBudget: 1 });
    const copy = readFileSync(path);
    const history = await snapshotSource(file, { history: true });
    expect(comparable(await recordsOf(await snapshotSource(copy, { history: true })))).toEqual(comparable(await recordsOf(history)));
    for (const revision of [all.revision, all.revision - 50n]) {
      expect(await hashKv(memorySource(copy), { revision })).toEqual(await hashKv(memorySource(file), { revision }));
    }
  });

  describe.each(etcdVersions())('into etcd $version', (etcd) => {
    test('serves the same, revision for revision, and goes on', async () => {
      const { path } = await written(await snapshotSource(file));
      const newest = Math.max(...all.kvs.map((one) => Number(one.modRevision)));
      expect((await snapshotStatus(etcd, path)).revision).toBe(newest);
      const server = await restored(etcd, path);
      try {
        const range = async () => parseRange(await server.etcdctl('get', '', '--from-key', '-w', 'json'));
        const { kvs, revision } = await range();
        expect(revision).toBe(all.revision);
        expect(comparable(kvs)).toEqual(comparable(all.kvs));
        const expected = await hashKv(memorySource(readFileSync(path)));
        expect(JSON.parse(await server.etcdctl('endpoint', 'hashkv', '-w', 'json'))).toMatchObject([{ HashKV: { hash: expected.hash } }]);
        const leases = (await leasesOf(await snapshotSource(readFileSync(path)))).filter(({ remainingTtl }) => remainingTtl > 0n);
        for (const { id, grantedTtl } of leases) {
          expect(await server.etcdctl('lease', 'timetolive', id.toString(16))).toContain(`granted with TTL(${grantedTtl}s)`);
        }
        // Writes, compaction, defragmentation and another snapshot, all checked by the server's own tools.
        await server.etcdctl('put', 'new', 'value');
        expect((await range()).revision).toBe(all.revision + 1n);
        await server.etcdctl('del', '', '--from-key');
        await server.etcdctl('compact', String(all.revision + 2n));
        await server.etcdctl('put', 'after', 'all');
        await server.etcdctl('defrag');
        const snapshot = join(dir, `${++files}.db`);
        await server.etcdctl('snapshot', 'save', snapshot);
        await snapshotStatus(etcd, snapshot);
        expect((await keyValuesOf(await snapshotSource(readFileSync(snapshot)))).map((one) => one.key.toString())).toEqual(['after']);
      } finally {
        await server.stop();
      }
    });

    test('with history serves old revisions too', async () => {
      const { path } = await written(await snapshotSource(file, { history: true }));
      await snapshotStatus(etcd, path);
      const server = await restored(etcd, path);
      try {
        const revision = all.revision - 60n;
        const then = parseRange(await server.etcdctl('get', '', '--from-key', '--rev', String(revision), '-w', 'json'));
        expect(comparable(then.kvs)).toEqual(comparable(await keyValuesOf(await snapshotSource(file, { revision }))));
        const expected = await hashKv(memorySource(file));
        expect(JSON.parse(await server.etcdctl('endpoint', 'hashkv', '-w', 'json'))).toMatchObject([
          { HashKV: { hash: expected.hash, compact_revision: Number(expected.compactRevision) } },
        ]);
      } finally {
        await server.stop();
      }
    });
  });
});

describe('a keyspace', () => {
  test('with nothing in it keeps its revision', async () => {
    const { path } = await written(at(sourceOf([]), 77n));
    for (const etcd of etcdVersions()) {
      await snapshotStatus(etcd, path);
      const server = await restored(etcd, path);
      try {
        expect(parseRange(await server.etcdctl('get', 'x', '-w', 'json')).revision).toBe(77n);
        await server.etcdctl('put', 'x', 'y');
        expect(parseRange(await server.etcdctl('get', 'x', '-w', 'json')).kvs[0]?.modRevision).toBe(78n);
      } finally {
        await server.stop();
      }
    }
  });
});

describe('options', () => {
  test('--bump-revision with --mark-compacted raises the revision and compacts what is before', async () => {
    const { path, report } = await written(sourceOf([kv('a', '1')]), { bumpRevision: 1_000_000n, markCompacted: true });
    expect(report.revision).toBe(1_001_000n);
    const server = await restored(newestEtcd(), path);
    try {
      const { kvs, revision } = parseRange(await server.etcdctl('get', 'a', '-w', 'json'));
      expect([revision, kvs[0]?.modRevision]).toEqual([1_001_000n, 9n]);
      await expect(server.etcdctl('get', 'a', '--rev', '1000')).rejects.toThrow('compacted');
    } finally {
      await server.stop();
    }
  });

  const MOST = 2n ** 62n;
  test.each([
    { revision: 1000n, bump: MOST - 1000n, exit: 0 },
    { revision: 1000n, bump: MOST - 999n, exit: 2 },
    { revision: 1000n, bump: 2n ** 63n - 1n, exit: 2 },
    { revision: MOST + 5n, bump: 1n, exit: 2 },
    { revision: MOST + 5n, bump: 0n, exit: 0 },
    { revision: 2n ** 63n - 1n, bump: 0n, exit: 0 },
    { revision: 2n ** 63n, bump: 0n, exit: 12 },
  ])('revision $revision raised by $bump ends with $exit; what is refused leaves no file', async ({ revision, bump, exit }) => {
    const before = readdirSync(dir).length;
    const options = bump === 0n ? {} : { bumpRevision: bump, markCompacted: true };
    const result = await written(at(sourceOf([kv('a', '1')]), revision), options).catch((thrown: FerryError) => thrown);
    expect('exit' in result ? result.exit : 0).toBe(exit);
    if ('report' in result) expect(result.report.revision).toBe(revision + bump);
    expect(readdirSync(dir).length).toBe(before + (exit === 0 ? 1 : 0));
  });

  test('a revision that only the records of a history have is not raised beyond 2^62 either', async () => {
    const record = Buffer.concat([encodeRevisionKey({ main: MOST, sub: 0n }), encodeKeyValue({ ...kv('a', '1'), modRevision: MOST })]);
    const source = {
      ...sourceOf([]),
      records: async function* () {
        yield batchOf([record]);
      },
    };
    const history = { ...source, info: { ...source.info, order: 'revision' as const, revision: 5n } };
    const before = readdirSync(dir).length;
    await expect(written(history, { bumpRevision: 1n, markCompacted: true })).rejects.toMatchObject({ code: 'usage' });
    expect(readdirSync(dir).length).toBe(before);
  });

  test('one without the other is a usage error, and leaves no file', async () => {
    const before = readdirSync(dir).length;
    await expect(written(sourceOf([]), { bumpRevision: 5n })).rejects.toMatchObject({ code: 'usage' });
    await expect(written(sourceOf([]), { markCompacted: true })).rejects.toMatchObject({ code: 'usage' });
    const broken = {
      ...sourceOf([]),
      records: async function* () {
        yield batchOf([Buffer.from('no message')]);
      },
    };
    await expect(written(broken)).rejects.toMatchObject({ code: 'damaged' });
    expect(readdirSync(dir).length).toBe(before);
  });

  test('an existing file is in the way', async () => {
    const path = join(dir, 'there.db');
    writeFileSync(path, 'mine');
    await expect(createFile(path, { overwrite: false })).rejects.toMatchObject({ code: 'in-the-way' });
  });

  test('keys whose lease the source does not tell of stay, and are named as a loss', async () => {
    const records = [kv('a', '1', 5n), kv('b', '2', 6n), kv('c', '3', 6n), kv('d', '4')];
    const { path, report } = await written(sourceOf(records, { leases: [lease(5n, 60n)], batch: 2 }));
    expect(report.notes.filter(({ lossy }) => lossy)).toMatchObject([{ code: 'lease-unknown', count: 2, examples: ['"b"', '"c"'] }]);
    expect(await recordsOf(await snapshotSource(readFileSync(path)))).toHaveLength(4);
  });

  test('users without a password, a vanished lease and a negative lease id are noted', async () => {
    const auth = { enabled: true, users: [{ name: 'root', roles: ['root'] }], roles: [{ name: 'root', permissions: [] }] };
    const leases = [lease(-5n, 60n), { ...lease(9n, 0n), remainingTtl: -1n }];
    const { path, report } = await written(sourceOf([kv('a', '1', -5n), kv('b', '2', 9n)], { auth, leases }), { withAuth: true });
    expect(report).toMatchObject({ leases: 1, users: 1, roles: 1 });
    expect(Object.fromEntries(report.notes.map((note) => [note.code, note.lossy]))).toEqual({
      'lease-vanished': true,
      'lease-id-negative': false,
      'lease-ttl-restarts': false,
      'user-without-password': false,
    });
    const read = await snapshotSource(readFileSync(path));
    expect((await leasesOf(read)).map(({ id, remainingTtl }) => [id, remainingTtl])).toEqual([[-5n, 60n]]);
    expect(read.notes.list()).toMatchObject([{ code: 'lease-not-in-file', count: 1, examples: ['9'], lossy: true }]);
    expect(await read.auth()).toMatchObject({ enabled: true, users: [{ name: 'root', roles: ['root'] }] });
  });
});
