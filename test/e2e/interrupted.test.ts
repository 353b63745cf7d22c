import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { etcdferry, jsonOf } from '../support/cli.js';
import { revisionOf } from '../support/compare.js';
import { EtcdServer, newestEtcd } from '../support/etcd.js';
import { load } from '../support/load.js';
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

test('a compaction during the read starts it again at a new revision, and says so', async () => {
  const args = ['backup', '--from', server.endpoint, '--to', join(directory, 'y.tar'), '--limit-rate', '12M', '--json'];
  let compacted: Promise<number> | undefined;
  const act = (): void => {
    compacted = changeAndCompact();
  };
  const result = await etcdferry(args, { when: { says: READING, act } });
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
