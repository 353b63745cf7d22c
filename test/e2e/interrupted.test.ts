import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { etcdferry, jsonOf } from '../support/cli.js';
import { revisionOf } from '../support/compare.js';
import { EtcdServer, newestEtcd } from '../support/etcd.js';
import { load } from '../support/load.js';
import { rootLogin } from '../support/root-login.js';
import { afterBytes, TcpProxy } from '../support/tcp-proxy.js';
import { temporaryDirectory } from '../support/temp.js';

/** 48 MB, so that a limited rate keeps a backup busy for as long as a test needs. */
const KEYS = 4_800;
/** Progress is told of a second after the read began. */
const READING = /reading/;
const directory = temporaryDirectory();
let server: EtcdServer;

beforeAll(async () => {
  server = await EtcdServer.start(newestEtcd());
  const value = Buffer.alloc(10_000, 'v');
  await load(
    server.endpoint,
    Array.from({ length: KEYS }, (_, i) => ({ key: Buffer.from(`/k/${i}`), value })),
  );
});

afterAll(() => server.stop());

describe.each([
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const)('%s', (signal, exit) => {
  test('ends a backup half-way, with nothing left behind', async () => {
    const args = ['backup', '--from', server.endpoint, '--to', join(directory, 'x.tar'), '--limit-rate', '12M'];
    const result = await etcdferry(args, { when: { says: READING, act: (child) => child.kill(signal) } });
    expect(result.exit).toBe(exit);
    expect(result.stderr).toMatch(/nothing half-written/);
    expect(readdirSync(directory)).toEqual([]);
  });
});

test('a restore that fails half-way says so, and is finished when run again', async () => {
  await using target = await EtcdServer.start(newestEtcd());
  const archive = join(directory, 'whole.tar');
  expect(await etcdferry(['backup', '--from', server.endpoint, '--to', archive, '-q'])).toMatchObject({ exit: 0 });
  let chunks = 0;
  await using proxy = await TcpProxy.start(target.port, (it) => {
    if (++chunks === 200) it.die();
  });
  const args = ['restore', '--from', archive, '--json', '--to'];
  const failed = await etcdferry([...args, proxy.endpoint, '--max-txn-ops', '1', '--dial-timeout', '500ms']);
  expect(failed.exit).toBe(10);
  expect(failed.stderr).toMatch(/holds a part .* run again, finishes it/);
  const finished = jsonOf(await etcdferry([...args, target.endpoint])) as { written: number; equal: number };
  expect(finished.equal).toBeGreaterThan(0);
  expect(finished.written + finished.equal).toBe(KEYS);
  expect(jsonOf(await etcdferry([...args, target.endpoint]))).toMatchObject({ written: 0, equal: KEYS });
  rmSync(archive);
});

test('an endpoint that dies half-way, with another alive, is passed over', async () => {
  let bytes = 0;
  await using mortal = await TcpProxy.start(server.port, (it, length) => {
    bytes += length;
    if (bytes > 10_000_000) it.die();
  });
  await using alive = await TcpProxy.start(server.port);
  const target = join(directory, 'failed-over.tar');
  const result = await etcdferry(['backup', '--from', `${mortal.endpoint},${alive.endpoint}`, '--to', target, '--json']);
  expect(result).toMatchObject({ exit: 0 });
  expect(jsonOf(result)).toMatchObject({ archive: { records: KEYS } });
  expect(bytes).toBeGreaterThan(10_000_000);
  expect(alive.accepted).toBeGreaterThan(0);
  rmSync(target);
});

test('a token that expires half-way is renewed', async () => {
  await using own = await EtcdServer.start(newestEtcd(), { args: ['--auth-token-ttl', '1'] });
  const value = Buffer.alloc(10_000, 'v');
  await load(
    own.endpoint,
    Array.from({ length: 2_000 }, (_, i) => ({ key: Buffer.from(`/k/${i}`), value })),
  );
  const target = join(directory, 'renewed.tar');
  const user = await rootLogin(own, directory);
  // Pages of 4 MiB and more, so that over a second passes between two requests.
  const result = await etcdferry(['backup', '--from', own.endpoint, '--to', target, ...user, '--limit-rate', '3M', '--json']);
  expect(result).toMatchObject({ exit: 0 });
  expect(jsonOf(result)).toMatchObject({ archive: { records: 2_000 } });
});

test('a compaction during the read starts it again at a new revision, and says so', async () => {
  let compacted: Promise<number> | undefined;
  await using proxy = await TcpProxy.start(
    server.port,
    afterBytes(1_000_000, () => {
      compacted = changeAndCompact();
    }),
  );
  const result = await etcdferry(['backup', '--from', proxy.endpoint, '--to', join(directory, 'y.tar'), '--limit-rate', '12M', '--json']);
  expect(result.exit).toBe(0);
  expect(result.stderr).toMatch(/compacted away; starting again/);
  expect(jsonOf(result)).toMatchObject({ revision: await compacted, restarts: 1, archive: { records: KEYS + 1 } });
});

async function changeAndCompact(): Promise<number> {
  await server.etcdctl('put', '/k/new', 'new');
  await server.etcdctl('put', '/k/new', 'newer');
  const revision = await revisionOf(server);
  await server.etcdctl('compact', String(revision));
  return revision;
}
