import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { recordAt } from '../../src/model/batch.js';
import { quietRun } from '../../src/model/run.js';
import { EVERYTHING, type Source } from '../../src/model/source.js';
import { dataDirApis } from '../../src/readers/data-dir-apis.js';
import { looksLikeDataDir } from '../../src/readers/data-dir-layout.js';
import { openDataDirV3 } from '../../src/readers/data-dir-v3.js';
import { decodeKeyValue } from '../../src/wire/keyvalue.js';
import { decodeEntry } from '../../src/wire/raft.js';
import { WAL_ENTRY, WAL_METADATA, WAL_STATE, WalReader } from '../../src/wire/wal.js';
import { EtcdServer, etcdVersions } from '../support/etcd.js';
import { commit, LAZY, restarted } from '../support/tail.js';
import { UnpackedDataDir } from '../support/v2-data.js';
import { numbers } from '../support/v2-workload.js';
import { answerLines, base64, keyspaceOf, keyValueLine, type RangeAnswer, V3Workload, v3 } from '../support/v3-workload.js';
import { bytesSource, WalWriter } from '../support/wal.js';

function open(path: string, options: Partial<Parameters<typeof openDataDirV3>[1]> = {}): Promise<Source> {
  return openDataDirV3(path, { location: path, selection: EVERYTHING, tmpDir: tmpdir(), ...options }, quietRun());
}

async function linesOf(source: Source): Promise<string[]> {
  const lines: string[] = [];
  for await (const batch of source.records()) {
    for (let i = 0; i < batch.count; i++) lines.push(keyValueLine(decodeKeyValue(recordAt(batch, i))));
  }
  return lines;
}

describe.each(['v3-34', 'v3-35'])('the data dir of %s', (name) => {
  const data = join(import.meta.dirname, '../../testdata/etcd-v3');
  // Leases may be negative and keys of any bytes: numbers are kept as their digits.
  const all = gunzipSync(readFileSync(join(data, `${name}.all.json.gz`)))
    .toString()
    .replace(/:(-?\d+)/g, ':"$1"');

  test('gives what etcdctl got from the server', async () => {
    const root = mkdtempSync(join(tmpdir(), 'etcdferry-v3-'));
    try {
      execFileSync('tar', ['xzf', join(data, `${name}.data-dir.tar.gz`), '-C', root]);
      const truth = answerLines(JSON.parse(all) as RangeAnswer);
      const source = await open(join(root, 'data'));
      expect(source.info.revision).toBe(truth.revision);
      expect(await linesOf(source)).toEqual(truth.lines);
      expect(source.notes.list().filter(({ lossy }) => lossy)).toEqual([]);
      await source.close();
    } finally {
      rmSync(root, { recursive: true });
    }
  });
});

describe.each(etcdVersions())('the data dir of a killed etcd $version', (etcd) => {
  test('gives the keyspace that the server had, revision for revision, from a database far behind', async () => {
    await using server = await EtcdServer.start(etcd, { args: LAZY });
    const workload = new V3Workload(server.endpoint, numbers(Number(process.env.SEED ?? 7)));
    for (let i = 0; i < 150; i++) await workload.step();
    await commit(server);
    // Compactions and revocations make etcd write it too: with the file of this moment, all that follows is in the WAL alone.
    const db = join(server.dataDir, 'member/snap/db');
    const before = readFileSync(db);
    for (let i = 0; i < 400; i++) await workload.step();
    const truth = await keyspaceOf(server.endpoint);
    await server.kill('SIGKILL');
    writeFileSync(db, before);

    const source = await open(server.dataDir);
    expect(source.info).toMatchObject({ kind: 'data-dir', api: 'v3', order: 'key', revision: truth.revision });
    expect(source.notes.list().find(({ code }) => code === 'wal-tail')?.count).toBeGreaterThan(300);
    const leases: string[] = [];
    for await (const batch of source.leases()) for (const { id, grantedTtl } of batch) leases.push(`${id} ${grantedTtl}`);
    expect(await linesOf(source)).toEqual(truth.lines);
    const used = new Set(truth.lines.map((line) => (JSON.parse(line) as string[])[5]));
    expect(leases).toEqual(truth.leases.filter((lease) => used.has(lease.split(' ')[0])));
    expect(source.notes.lossy).toBe(false);
    await source.close();
  });

  test('has everything acknowledged by a server killed with writes in flight', async () => {
    await using server = await EtcdServer.start(etcd);
    const acknowledged = new Map<string, string>();
    // Once this is answered there is a leader.
    await v3(server.endpoint, 'kv/put', { key: base64('first'), value: '' });
    const writers = Array.from({ length: 8 }, async (_, writer) => {
      for (let i = 0; ; i++) {
        const key = `key ${writer} ${i}`;
        const answer = await v3(server.endpoint, 'kv/put', { key: base64(key), value: base64(`value ${i}`) }).catch(() => undefined);
        if (answer === undefined) return;
        acknowledged.set(base64(key), (answer.header as { revision: string }).revision);
      }
    });
    setTimeout(() => server.kill('SIGKILL'), 700);
    await Promise.all(writers);

    const source = await open(server.dataDir);
    const found = new Map((await linesOf(source)).map((line) => [(JSON.parse(line) as string[])[0], (JSON.parse(line) as string[])[3]]));
    await source.close();
    expect(acknowledged.size).toBeGreaterThan(100);
    for (const [key, revision] of acknowledged) expect(found.get(key)).toBe(revision);
  });

  test('judges what is in the WAL by users and permissions, and changes those', async () => {
    await using server = await EtcdServer.start(etcd, { args: [...LAZY, '--bcrypt-cost', '4'] });
    const call = (method: string, body: Record<string, unknown>, token?: string) => v3(server.endpoint, method, body, token);
    for (const name of ['root', 'alice']) await call('auth/user/add', { name, password: name });
    for (const name of ['root', 'reader']) await call('auth/role/add', { name });
    await call('auth/user/grant', { user: 'root', role: 'root' });
    await call('auth/user/grant', { user: 'alice', role: 'reader' });
    await call('auth/role/grant', { name: 'reader', perm: { permType: 'READWRITE', key: base64('a'), range_end: base64('b') } });
    // Makes etcd write its database.
    await call('auth/enable', {});

    const login = async (name: string): Promise<string> => (await call('auth/authenticate', { name, password: name })).token as string;
    let alice = await login('alice');
    const put = (key: string, token: string) => call('kv/put', { key: base64(key), value: base64(key) }, token);
    await put('a1', alice);
    expect(await put('c1', alice)).toHaveProperty('code');
    expect(await call('kv/deleterange', { key: base64('a'), range_end: base64('c') }, alice)).toHaveProperty('code');
    expect(await call('auth/role/add', { name: 'mine' }, alice)).toHaveProperty('code');
    const root = await login('root');
    await put('c2', root);
    await call('auth/role/grant', { name: 'reader', perm: { permType: 'WRITE', key: base64('c') } }, root);
    await call('auth/user/add', { name: 'bob', password: 'bob' }, root);
    alice = await login('alice');
    await put('c', alice);
    await call('kv/txn', { success: [{ request_put: { key: base64('a2'), value: '' } }] }, alice);
    await call('kv/txn', { success: [{ request_range: { key: base64('x') } }, { request_put: { key: base64('a3') } }] }, alice);
    await server.kill('SIGKILL');
    const truth = await restarted(server, [], async ({ endpoint }) => {
      const root = await v3(endpoint, 'auth/authenticate', { name: 'root', password: 'root' });
      return keyspaceOf(endpoint, root.token as string);
    });

    const source = await open(server.dataDir);
    expect(await linesOf(source)).toEqual(truth.lines);
    expect(source.info.revision).toBe(truth.revision);
    // Up to 3.6 etcd leaves the read of the last transaction out when it starts again, and makes what it had refused.
    const isRefusedAgain = etcd.minor === '3.7';
    expect(truth.lines.some((line) => line.startsWith(`["${base64('a3')}"`))).toBe(!isRefusedAgain);
    const refused = source.notes.list().find(({ code }) => code === 'txn-refused-when-asked');
    expect(refused?.examples).toEqual(isRefusedAgain ? undefined : ['txn of "a3"']);
    const auth = await source.auth();
    expect(auth?.enabled).toBe(true);
    expect(auth?.users.map(({ name, roles }) => [name, ...roles])).toEqual([['alice', 'reader'], ['bob'], ['root', 'root']]);
    expect(auth?.roles.map(({ name }) => name)).toEqual(['reader', 'root']);
    expect(auth?.roles.find(({ name }) => name === 'reader')?.permissions.map(({ type, key }) => `${type} ${key}`)).toEqual([
      'readwrite a',
      'write c',
    ]);
    // Before 3.5 the log has the password, and each member makes a hash of its own.
    const hash = auth?.users.find(({ name }) => name === 'bob')?.passwordHash?.toString() ?? '';
    expect(hash.startsWith('$2a$')).toBe(etcd.minor !== '3.4');
    expect(source.notes.list().some(({ code, lossy }) => code === 'password-not-replayed' && lossy)).toBe(etcd.minor === '3.4');
    await source.close();
  });

  test('can be read at an earlier revision, and with its history', async () => {
    await using server = await EtcdServer.start(etcd, { args: LAZY });
    for (const value of ['1', '2', '3']) await v3(server.endpoint, 'kv/put', { key: base64('k'), value: base64(value) });
    await v3(server.endpoint, 'kv/deleterange', { key: base64('k') });
    await server.kill('SIGKILL');
    const valueAt = async (revision: bigint): Promise<unknown[]> => {
      const source = await open(server.dataDir, { revision });
      const values = (await linesOf(source)).map((line) => Buffer.from((JSON.parse(line) as string[])[1] as string, 'base64').toString());
      await source.close();
      return values;
    };
    expect([await valueAt(2n), await valueAt(4n), await valueAt(5n)]).toEqual([['1'], ['3'], []]);
    const history = await open(server.dataDir, { history: true });
    let count = 0;
    for await (const batch of history.records()) count += batch.count;
    expect(count).toBe(4);
    await history.close();
  });

  test('takes the database that was received from a leader and not put in its place yet', async () => {
    await using server = await EtcdServer.start(etcd, { args: ['--snapshot-count', '10'] });
    const db = join(server.dataDir, 'member/snap/db');
    const put = (key: string) => v3(server.endpoint, 'kv/put', { key: base64(key), value: base64(key) });
    await put('first');
    await commit(server);
    const before = readFileSync(db);
    for (let i = 0; i < 30; i++) await put(`key ${i}`);
    const truth = await keyspaceOf(server.endpoint);
    await server.kill();
    const newest =
      readdirSync(join(server.dataDir, 'member/snap'))
        .filter((name) => name.endsWith('.snap'))
        .sort()
        .at(-1) ?? '';
    const received = join(server.dataDir, 'member/snap', `${newest.slice(17, 33)}.snap.db`);
    renameSync(db, received);
    writeFileSync(db, before);
    const source = await open(server.dataDir);
    expect(await linesOf(source)).toEqual(truth.lines);
    await source.close();
    renameSync(received, `${received}.away`);
    await expect(open(server.dataDir)).rejects.toMatchObject({ code: 'damaged' });
    renameSync(`${received}.away`, received);

    // Without .snap files the WAL tells which database was received; what was received and is not told of there was never used.
    const snap = join(server.dataDir, 'member/snap');
    for (const name of readdirSync(snap)) if (name.endsWith('.snap')) rmSync(join(snap, name));
    // Its record comes after the last entry that it stands for.
    const [first] = await splitWal(server.dataDir, BigInt(`0x${newest.slice(17, 33)}`) - 1n);
    rmSync(first);
    const told = await open(server.dataDir);
    expect(await linesOf(told)).toEqual(truth.lines);
    await told.close();
    renameSync(received, received.replace(/[0-9a-f]{16}(?=\.snap\.db)/, 'fff'.padStart(16, '0')));
    await expect(open(server.dataDir)).rejects.toMatchObject({ code: 'damaged', message: expect.stringMatching(/begins at index/) });
  });

  test('is refused while the server runs, and read as it was when it stopped', async () => {
    await using server = await EtcdServer.start(etcd, { args: [...LAZY, ...(/^3\.[45]$/.test(etcd.minor) ? ['--enable-v2'] : [])] });
    await v3(server.endpoint, 'kv/put', { key: base64('k'), value: base64('x'.repeat(5000)) });
    await expect(open(server.dataDir)).rejects.toMatchObject({ code: 'usage' });
    await server.kill('SIGKILL');
    const state = (): string => execFileSync('find', [server.dataDir, '-printf', '%p %i %s %m %T@ %C@\n']).toString();
    const before = state();
    expect(await dataDirApis(server.dataDir)).toEqual({ v2: false, v3: true });
    const source = await open(server.dataDir);
    expect(await linesOf(source)).toHaveLength(1);
    await source.close();
    expect(state()).toBe(before);
    await expect(open(server.dataDir, { maxMemory: 1000 })).rejects.toMatchObject({
      code: 'failed',
      hint: expect.stringContaining('--max-memory'),
    });
  });
});

/** Puts what a WAL of one segment holds into two; the second begins after an entry, and ends with all committed. @returns their paths */
async function splitWal(dataDir: string, after: bigint): Promise<[string, string]> {
  const dir = join(dataDir, 'member/wal');
  const [whole = ''] = readdirSync(dir).filter((name) => name.endsWith('.wal'));
  const writer = new WalWriter();
  let first: Buffer | undefined;
  let [metadata, state, last] = [Buffer.alloc(0), Buffer.alloc(0), { index: 0n, term: 0n }];
  for await (const run of new WalReader([bytesSource(readFileSync(join(dir, whole)))]).records()) {
    for (const { type, data } of run) {
      if (type === WAL_METADATA) metadata = Buffer.from(data);
      if (type === WAL_STATE) state = Buffer.from(data);
      if (type === WAL_ENTRY) last = decodeEntry(data);
      if (first === undefined && last.index > after) {
        first = writer.cut();
        writer.record(WAL_METADATA, metadata).record(WAL_STATE, state);
      }
      writer.record(type, data);
    }
  }
  const paths: [string, string] = [
    join(dir, whole),
    join(dir, `${'1'.padStart(16, '0')}-${(after + 1n).toString(16).padStart(16, '0')}.wal`),
  ];
  writeFileSync(paths[0], first ?? '');
  writeFileSync(paths[1], writer.state(last.term, last.index).cut());
  return paths;
}

describe.each(etcdVersions())('a data dir of etcd $version without .snap files', (etcd) => {
  test('is read from the place of its database on, and a log that begins later is damaged', async () => {
    await using server = await EtcdServer.start(etcd, { args: ['--snapshot-count', '10'] });
    for (let i = 0; i < 30; i++) await v3(server.endpoint, 'kv/put', { key: base64(`before ${i % 7}`), value: base64(`${i}`) });
    await server.kill();
    await using again = await EtcdServer.start(etcd, { args: LAZY, dataDir: server.dataDir });
    for (let i = 0; i < 5; i++) await v3(again.endpoint, 'kv/put', { key: base64(`after ${i}`), value: '' });
    const truth = await keyspaceOf(again.endpoint);
    await again.kill('SIGKILL');

    const snap = join(server.dataDir, 'member/snap');
    const files = readdirSync(snap).filter((name) => name.endsWith('.snap'));
    expect(files.length).toBeGreaterThan(0);
    for (const name of files) rmSync(join(snap, name));
    // What comes before the database's place etcd may have removed.
    const [first, second] = await splitWal(server.dataDir, 25n);
    rmSync(first);
    const source = await open(server.dataDir);
    expect(source.info.revision).toBe(truth.revision);
    expect(await linesOf(source)).toEqual(truth.lines);
    expect(source.notes.lossy).toBe(false);
    await source.close();
    if (!/^3\.[45]$/.test(etcd.minor)) expect(await dataDirApis(server.dataDir)).toEqual({ v2: false, v3: true });

    const bytes = readFileSync(second);
    bytes[bytes.lastIndexOf('after 4')] = 0x23;
    writeFileSync(second, bytes);
    await expect(open(server.dataDir)).rejects.toMatchObject({ code: 'damaged', message: expect.stringMatching(/CRC/) });
    renameSync(second, second.replace(/-.{16}\.wal$/, `-${'1000'.padStart(16, '0')}.wal`));
    await expect(open(server.dataDir)).rejects.toMatchObject({ code: 'damaged', message: expect.stringMatching(/begins at index 4096/) });
  });
});

test('which APIs a data dir holds keys of', async () => {
  using old = new UnpackedDataDir('v238');
  expect(await dataDirApis(old.path)).toEqual({ v2: true, v3: false });
  await expect(open(old.path)).rejects.toMatchObject({ code: 'not-found' });
  using newer = new UnpackedDataDir('v34');
  expect(await dataDirApis(newer.path)).toEqual({ v2: true, v3: false });
  expect(await looksLikeDataDir(newer.path)).toBe(true);
  expect(await looksLikeDataDir(join(old.path, 'member'))).toBe(true);
  expect(await looksLikeDataDir(join(old.path, 'member/snap'))).toBe(false);
});
