import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { testdata } from '../support/bytes.js';
import { etcdferry } from '../support/cli.js';
import { EtcdServer, etcdVersions, newestEtcd } from '../support/etcd.js';
import { restored, snapshotStatus } from '../support/restore-file.js';
import { comparable, parseRange } from '../support/snapshots.js';
import { temporaryDirectory } from '../support/temp.js';

const directory = temporaryDirectory();
const at = (name: string): string => join(directory, name);

/** Runs a command that must do all of its work. */
async function done(...args: string[]): Promise<string> {
  const result = await etcdferry(args);
  expect(result, `${args.join(' ')}: ${result.stderr}`).toMatchObject({ exit: 0 });
  return result.stdout.toString();
}

const document = async (...args: string[]): Promise<unknown> => JSON.parse(await done(...args, '--json'));

/** A file of testdata/ where the command line can read it. */
function unpacked(path: string): string {
  const file = at(path.replace('/', '-'));
  writeFileSync(file, testdata(`${path}.db.gz`));
  return file;
}

/** What a server serves, in comparable lines. */
async function served(server: EtcdServer): Promise<{ revision: bigint; lines: string[] }> {
  const { revision, kvs } = parseRange(await server.etcdctl('get', '', '--from-key', '-w', 'json'));
  return { revision, lines: comparable(kvs) };
}

interface HashKvAnswer {
  readonly HashKV: { readonly hash: number; readonly compact_revision: number };
}

/** What the server that a file of testdata/etcd-v3 came from said of itself. */
function hashKvOf(name: string): HashKvAnswer {
  const path = join(import.meta.dirname, `../../testdata/etcd-v3/${name}.hashkv.json`);
  return (JSON.parse(readFileSync(path, 'utf8')) as [HashKvAnswer])[0];
}

/** What etcd's own restore makes of the file; of the etcd-v3 files, what their servers answered besides. */
async function truthOf(path: string, file: string): Promise<{ revision: bigint; lines: string[] }> {
  await using own = await restored(newestEtcd(), file);
  const truth = await served(own);
  if (!path.startsWith('etcd-v3/')) return truth;
  const answered = parseRange(testdata(`${path}.all.json.gz`).toString());
  expect(truth).toEqual({ revision: answered.revision, lines: comparable(answered.kvs) });
  return truth;
}

const FILES = ['etcd-v3/v3-34', 'etcd-v3/v3-35', 'kubernetes-1.20/plain', 'kubernetes-1.20/encrypted', 'kubernetes-1.20/json-storage'];

describe.each(FILES)('%s', (path) => {
  test('goes through an archive into a new file that etcd serves, revision for revision', async () => {
    const source = unpacked(path);
    const [archive, copy] = [at('a.tar'), at('copy.db')];
    const truth = await truthOf(path, source);
    await done('verify', source);
    await done('backup', '--from', source, '--to', archive, '--overwrite');
    await done('verify', archive);
    await done('restore', '--from', archive, '--to', copy, '--overwrite');
    expect(await done('verify', copy)).toContain('whole snapshot file');
    for (const etcd of etcdVersions()) {
      await snapshotStatus(etcd, copy);
      await using server = await restored(etcd, copy);
      expect(await served(server), `served by etcd ${etcd.version}`).toEqual(truth);
      if (path.startsWith('etcd-v3/')) await goesOn(server);
    }
  });
});

/** Writes, a compaction, a defragmentation and another snapshot, all taken without complaint. */
async function goesOn(server: EtcdServer): Promise<void> {
  await server.etcdctl('put', 'new', 'value');
  await server.etcdctl('del', '/', '--prefix');
  await server.etcdctl('compact', String((await served(server)).revision));
  await server.etcdctl('defrag');
  await server.etcdctl('put', 'after', 'all');
  const snapshot = at('again.db');
  await server.etcdctl('snapshot', 'save', snapshot);
  await snapshotStatus(server.etcd, snapshot);
  await done('verify', snapshot);
  expect(await done('ls', snapshot, 'after')).toBe('after\n');
}

describe.each(['v3-34', 'v3-35'])('the history of %s', (name) => {
  test('goes through an archive, and HashKV stays what its server said', async () => {
    const source = unpacked(`etcd-v3/${name}`);
    const { hash, compact_revision } = hashKvOf(name).HashKV;
    expect(await done('hashkv', source)).toBe(`${hash}\n`);
    await done('backup', '--from', source, '--history', '--to', at('history.tar'), '--overwrite');
    await done('restore', '--from', at('history.tar'), '--to', at('history.db'), '--overwrite');
    expect(await document('hashkv', at('history.db'))).toMatchObject({ hash, compactRevision: compact_revision });
    for (const etcd of etcdVersions()) {
      await using server = await restored(etcd, at('history.db'));
      const answer = JSON.parse(await server.etcdctl('endpoint', 'hashkv', '-w', 'json')) as [HashKvAnswer];
      expect(answer[0].HashKV, `told by etcd ${etcd.version}`).toMatchObject({ hash, compact_revision });
    }
  });

  test('can be left at an earlier revision', async () => {
    const source = unpacked(`etcd-v3/${name}`);
    await using server = await restored(newestEtcd(), source);
    const revision = Number((await served(server)).revision) - 60;
    await done('backup', '--from', source, '--revision', String(revision), '--to', at('then.tar'), '--overwrite');
    await done('restore', '--from', at('then.tar'), '--to', at('then.db'), '--overwrite');
    await using then = await restored(newestEtcd(), at('then.db'));
    const before = parseRange(await server.etcdctl('get', '', '--from-key', '--rev', String(revision), '-w', 'json'));
    expect(await served(then)).toEqual({ revision: BigInt(revision), lines: comparable(before.kvs) });
  });
});

describe.each(etcdVersions())('etcd $version', (etcd) => {
  test('keeps the revision of a delete that came last', async () => {
    await using server = await EtcdServer.start(etcd);
    for (const command of [
      ['put', 'a', '1'],
      ['put', 'b', '2'],
      ['del', 'b'],
    ])
      await server.etcdctl(...command);
    const before = await served(server);
    await done('backup', '--from', server.endpoint, '--to', at('deleted.tar'), '--overwrite');
    await done('restore', '--from', at('deleted.tar'), '--to', at('deleted.db'), '--overwrite');
    await using again = await restored(etcd, at('deleted.db'));
    expect(await served(again)).toEqual(before);
    await again.etcdctl('put', 'c', '3');
    expect((await served(again)).revision).toBe(before.revision + 1n);
  });

  test('--bump-revision raises the revision and compacts what is before', async () => {
    const source = unpacked('etcd-v3/v3-34');
    await done('restore', '--from', source, '--to', at('bumped.db'), '--bump-revision', '1000000', '--mark-compacted', '--overwrite');
    await using server = await restored(etcd, at('bumped.db'));
    const { revision, lines } = await served(server);
    const all = parseRange(testdata('etcd-v3/v3-34.all.json.gz').toString());
    expect(revision).toBe(all.revision + 1_000_000n);
    expect(lines).toEqual(comparable(all.kvs));
    await expect(server.etcdctl('get', 'a', '--rev', String(all.revision))).rejects.toThrow('compacted');
    await goesOn(server);
  });

  test('--with-auth brings users who can log in, and --via snapshot backs up what --via range does', async () => {
    await using server = await EtcdServer.start(etcd, { args: ['--bcrypt-cost', '4'] });
    await server.etcdctl('put', 'shared/a', '1');
    await server.etcdctl('put', 'secret', '2', '--lease', (await server.etcdctl('lease', 'grant', '5000')).split(' ')[1] as string);
    await server.etcdctl('user', 'add', 'root:top');
    await server.etcdctl('user', 'grant-role', 'root', 'root');
    await server.etcdctl('role', 'add', 'reader');
    await server.etcdctl('role', 'grant-permission', 'reader', 'read', 'shared/', '--prefix');
    await server.etcdctl('user', 'add', 'ann:pass');
    await server.etcdctl('user', 'grant-role', 'ann', 'reader');
    await server.etcdctl('auth', 'enable');
    writeFileSync(at('top'), 'top\n');
    const login = ['--user', 'root', '--password-file', at('top'), '--overwrite'];
    const [range, snapshot] = (await Promise.all(
      ['range', 'snapshot'].map((via) => document('backup', '--from', server.endpoint, '--via', via, '--to', at(`${via}.tar`), ...login)),
    )) as { revision: number; archive: { digests: object } }[];
    expect(snapshot?.archive.digests).toEqual(range?.archive.digests);
    expect(snapshot?.revision).toBe(range?.revision);

    await done('restore', '--from', at('snapshot.tar'), '--to', at('auth.db'), '--with-auth', '--overwrite');
    await using again = await restored(etcd, at('auth.db'));
    expect(await again.etcdctl('--user', 'ann:pass', 'get', 'shared/', '--prefix')).toBe('shared/a\n1');
    await expect(again.etcdctl('--user', 'ann:pass', 'get', 'secret')).rejects.toThrow('permission denied');
    await expect(again.etcdctl('get', 'secret')).rejects.toThrow('user name is empty');
    expect(await again.etcdctl('--user', 'root:top', 'user', 'list')).toBe('ann\nroot');
    await done('restore', '--from', at('snapshot.tar'), '--to', at('open.db'), '--overwrite');
    await using open = await restored(etcd, at('open.db'));
    expect(await open.etcdctl('get', 'secret')).toBe('secret\n2');
    expect(await open.etcdctl('user', 'list')).toBe('');
  });
});

test('verify tells the kind of a file, and flags that mean nothing to it are refused', async () => {
  const source = unpacked('etcd-v3/v3-35');
  const result = await etcdferry(['verify', source, '--json']);
  const [one, summary] = result.stdout
    .toString()
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as object);
  expect(one).toMatchObject({ whole: true, kind: 'snapshot-file', api: 'v3', revision: 543 });
  expect(summary).toMatchObject({ verified: 1, whole: 1, exit: 0 });
  await done('backup', '--from', source, '--to', at('order.tar'), '--overwrite');
  expect(await etcdferry(['restore', '--from', at('order.tar'), '--history', '--to', at('x.db')])).toMatchObject({ exit: 2 });
});
