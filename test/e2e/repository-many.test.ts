import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { etcdferry, etcdferryInside, jsonOf } from '../support/cli.js';
import { EtcdServer, newestEtcd } from '../support/etcd.js';
import { load } from '../support/load.js';
import { S3Server, s3Environment } from '../support/s3-server.js';
import { temporaryDirectory } from '../support/temp.js';

const directory = temporaryDirectory();
const environment = { ...process.env };
const ROUNDS = process.env.SOAK ? 50 : 5;
let server: EtcdServer;
let s3: S3Server;

beforeAll(async () => {
  [server, s3] = await Promise.all([EtcdServer.start(newestEtcd()), S3Server.start()]);
  Object.assign(process.env, s3Environment());
  const puts = Array.from({ length: 100 }, (_, i) => ({ key: Buffer.from(`/k/${i}`), value: randomBytes(100_000) }));
  await load(server.endpoint, puts);
});

afterAll(async () => {
  process.env = environment;
  await Promise.all([server.stop(), s3[Symbol.asyncDispose]()]);
});

function files(repository: string, folder: string): string[] {
  const path = join(repository, '.etcdferry', folder);
  return existsSync(path) ? readdirSync(path) : [];
}

test.each([
  ['a directory', () => join(directory, 'ten')],
  ['a bucket', () => 's3://bucket/ten'],
])('ten backups at once into %s, half of them under one NAME', async (kind, location) => {
  const repository = location();
  const flags = kind === 'a bucket' ? ['--s3-endpoint', s3.endpoint] : [];
  if (kind === 'a directory') mkdirSync(repository);
  const names = ['same', 'same', 'same', 'same', 'same', 'a', 'b', 'c', 'd', 'e'];
  const results = await Promise.all(
    names.map((name) =>
      etcdferry(['backup', '--from', server.endpoint, '--to', repository, '--name', name, '--prefix', '/k/1', ...flags], {
        env: s3Environment(),
      }),
    ),
  );
  for (const [i, { exit, stderr }] of results.entries()) {
    expect(exit, stderr).toSatisfy((status) => status === 0 || (status === 14 && names[i] === 'same'));
    if (exit === 14) expect(stderr).toMatch(/locked by backup of same \(on .*, process \d+\) since 20/);
  }
  const done = results.filter(({ exit }) => exit === 0).length;
  expect(results.filter(({ exit }, i) => exit === 0 && names[i] === 'same').length).toBeGreaterThan(0);
  const verified = await etcdferryInside(['verify', repository, '--json', ...flags]);
  expect(verified.exit).toBe(0);
  const summary = verified.stdout.toString().trimEnd().split('\n').at(-1) as string;
  expect(JSON.parse(summary)).toMatchObject({ verified: done, whole: done, failed: 0 });
  if (kind === 'a directory') expect(files(repository, 'locks')).toEqual([]);
});

test(`a backup killed at any moment leaves a repository in order (${ROUNDS} rounds)`, { timeout: ROUNDS * 60_000 }, async () => {
  const repository = join(directory, 'killed');
  mkdirSync(repository);
  const args = ['backup', '--from', server.endpoint, '--to', repository];
  let interrupted = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const before = files(repository, 'locks').length;
    const running = etcdferry([...args, '--limit-rate', '40M'], {
      // Not of a clock's making: it has the lock now, and is killed somewhere in what comes after.
      started: async (child) => {
        while (files(repository, 'locks').length <= before && child.exitCode === null) await sleep(2);
        await sleep(Math.random() * 600);
        child.kill('SIGKILL');
      },
    });
    if ((await running).signal === 'SIGKILL') interrupted++;
    const list = await etcdferryInside(['list', repository, '--json']);
    expect(list.exit === 0 || (list.exit === 2 && round === 0)).toBe(true);
    if (list.exit === 0) expect(await etcdferryInside(['verify', repository, '-q'])).toMatchObject({ exit: 0 });
    if (list.exit === 0) expect(await etcdferryInside(['prune', repository, '--keep-last', '3', '-q'])).toMatchObject({ exit: 0 });
    // The lock of what was killed is dead at once, as is what it left unfinished.
    expect(await etcdferryInside([...args, '-q'])).toMatchObject({ exit: 0 });
    expect(files(repository, 'locks')).toEqual([]);
    // A lock or a summary is written in a moment and without a lock: what a kill in that moment left is told by its age alone.
    expect(files(repository, 'unfinished').filter((file) => !file.includes('.json.'))).toEqual([]);
    const { archives } = jsonOf(await etcdferryInside(['list', repository, '--json'])) as { archives: { file: string }[] };
    expect(readdirSync(repository).sort()).toEqual(['.etcdferry', ...archives.map(({ file }) => file).sort()]);
  }
  expect(await etcdferryInside(['verify', repository, '-q'])).toMatchObject({ exit: 0 });
  expect(interrupted).toBeGreaterThan(0);
});
