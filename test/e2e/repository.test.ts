import { type ChildProcess, execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { expectOneClearLine } from '../support/clear-line.js';
import { type CliResult, etcdferry, etcdferryInside, jsonOf } from '../support/cli.js';
import { keysAndValues } from '../support/compare.js';
import { cleanEnvironment, EtcdServer, freePort, newestEtcd } from '../support/etcd.js';
import { load } from '../support/load.js';
import { S3Server, s3Environment } from '../support/s3-server.js';
import { temporaryDirectory } from '../support/temp.js';

/** Of values that do not compress: with it an archive is larger than one part of an upload. */
const LOADED = 12_000_000;
const directory = temporaryDirectory();
const environment = { ...process.env };
let server: EtcdServer;
let s3: S3Server;
let count = 0;

beforeAll(async () => {
  [server, s3] = await Promise.all([EtcdServer.start(newestEtcd()), S3Server.start()]);
  Object.assign(process.env, s3Environment());
  const puts = Array.from({ length: LOADED / 100_000 }, (_, i) => ({ key: Buffer.from(`/k/${i}`), value: randomBytes(100_000) }));
  await load(server.endpoint, puts);
});

afterAll(async () => {
  process.env = environment;
  await Promise.all([server.stop(), s3[Symbol.asyncDispose]()]);
});

interface Listed {
  readonly name: string;
  readonly file: string;
  readonly revision: number;
  readonly summary: {
    readonly records: number;
    readonly verified: { readonly bytes?: string; readonly content?: string };
    readonly damagedAt?: string;
  };
}

/** One kind of repository: where a new one is, what else says how it is reached, and where its objects lie on a disk. */
interface Kind {
  readonly name: string;
  readonly fresh: () => string;
  readonly flags: () => string[];
  /** The file of an archive on the disk of whoever stores it. */
  readonly file: (repository: string, archive: string) => string;
}

const inDirectory: Kind = {
  name: 'a directory',
  fresh: () => {
    const path = join(directory, `r${++count}`);
    mkdirSync(path);
    return path;
  },
  flags: () => [],
  file: join,
};

const inBucket: Kind = {
  name: 'a bucket',
  fresh: () => `s3://bucket/r${++count}`,
  flags: () => ['--s3-endpoint', s3.endpoint],
  file: (repository, archive) => join(s3.directory, repository.slice('s3://'.length), `${archive}._S3rver_object`),
};

async function run(kind: Kind, ...args: string[]): Promise<CliResult> {
  return etcdferryInside([...args, ...kind.flags()]);
}

function backup(kind: Kind, repository: string, ...args: string[]): Promise<CliResult> {
  return run(kind, 'backup', '--from', server.endpoint, '--to', repository, '--json', ...args);
}

async function listed(kind: Kind, repository: string, ...args: string[]): Promise<readonly Listed[]> {
  const result = await run(kind, 'list', repository, '--json', ...args);
  expect(result).toMatchObject({ exit: 0, stderr: '' });
  return (jsonOf(result) as { archives: Listed[] }).archives;
}

describe.each([inDirectory, inBucket])('$name as a repository', (kind) => {
  test('backup, list, verify, restore, copy, prune', async () => {
    const repository = kind.fresh();
    const made = await backup(kind, repository, '--name', 'prod');
    expect(made).toMatchObject({ exit: 0, stderr: '' });
    const { stored } = jsonOf(made) as { stored: { file: string; size: number; sha256: string; unchanged: boolean } };
    expect(stored.size).toBeGreaterThan(8 * 1024 * 1024);
    expect(statSync(kind.file(repository, stored.file)).size).toBe(stored.size);
    expect(await listed(kind, repository)).toMatchObject([
      {
        name: 'prod',
        file: stored.file,
        summary: { records: expect.any(Number), sha256: stored.sha256, verified: { bytes: expect.stringMatching(/^20/) } },
      },
    ]);
    const verified = await run(kind, 'verify', repository);
    expect(verified.exit, verified.stdout.toString()).toBe(0);
    expect((await listed(kind, repository))[0]?.summary.verified.content).toMatch(/^20/);
    await using target = await EtcdServer.start(newestEtcd());
    expect(await run(kind, 'restore', '--from', repository, '--to', target.endpoint, '-q')).toMatchObject({ exit: 0 });
    expect(await keysAndValues(target)).toEqual(await keysAndValues(server));
    await server.etcdctl('put', '/new', 'new');
    expect(await backup(kind, repository, '--name', 'prod')).toMatchObject({ exit: 0 });
    const copy = kind.fresh();
    expect(jsonOf(await run(kind, 'copy', repository, copy, '--json', '--dry-run'))).toMatchObject({ archives: [{}, {}] });
    expect(await run(kind, 'list', copy)).toMatchObject({ exit: 2 });
    const outcome = async () =>
      (jsonOf(await run(kind, 'copy', repository, copy, '--json')) as { archives: { outcome: string }[] }).archives.map((it) => it.outcome);
    expect(await outcome()).toEqual(['copied', 'copied']);
    expect(await outcome()).toEqual(['there', 'there']);
    for (const { file } of await listed(kind, repository)) {
      expect(readFileSync(kind.file(copy, file)).equals(readFileSync(kind.file(repository, file)))).toBe(true);
    }
    expect(await run(kind, 'prune', repository, '--keep-last', '1', '-q')).toMatchObject({ exit: 0 });
    // The newest that was verified stays with the newest of all.
    expect(await listed(kind, repository)).toHaveLength(2);
    expect(await run(kind, 'verify', repository, '-q')).toMatchObject({ exit: 0 });
    expect(await run(kind, 'prune', repository, '--keep-last', '1', '-q')).toMatchObject({ exit: 0 });
    expect(await listed(kind, repository)).toHaveLength(1);
  });

  test('is read by NAME and time', async () => {
    const repository = kind.fresh();
    expectOneClearLine(await run(kind, 'ls', repository), 2, /holds no archives/);
    expect(await backup(kind, repository, '--name', 'a', '--prefix', '/k/1')).toMatchObject({ exit: 0 });
    expect(await backup(kind, repository, '--name', 'a', '--prefix', '/k/2')).toMatchObject({ exit: 0 });
    const between = (await listed(kind, repository))[0]?.file.slice(2, 22) ?? '';
    expect((await run(kind, 'ls', repository)).stdout.toString()).toMatch(/^\/k\/2/);
    expect((await run(kind, 'ls', repository, '--at', between)).stdout.toString()).toMatch(/^\/k\/1/);
    expectOneClearLine(await run(kind, 'ls', repository, '--at', '2020-01-01'), 2, /no archive of a from .* or before/);
    expect(await backup(kind, repository, '--prefix', '/k/3')).toMatchObject({ exit: 0 });
    expectOneClearLine(await run(kind, 'ls', repository), 2, /archives of a, etcd/);
    expect((await run(kind, 'ls', repository, '--name', 'etcd')).stdout.toString()).toMatch(/^\/k\/3/);
    expect(await listed(kind, repository, '--name', 'a')).toHaveLength(2);
  });

  test('unchanged is cheap, and counts as fresh', async () => {
    const repository = kind.fresh();
    const skip = async () => (jsonOf(await backup(kind, repository, '--prefix', '/k/1', '--skip-unchanged')) as { stored: object }).stored;
    expect(await skip()).toMatchObject({ unchanged: false });
    expect(await skip()).toMatchObject({ unchanged: true });
    expect(await listed(kind, repository)).toMatchObject([{ summary: { unchangedAt: expect.stringMatching(/^20/) } }]);
    expect(await run(kind, 'check-age', repository, '--max-age', '1h')).toMatchObject({ exit: 0 });
    await server.etcdctl('put', '/k/1', 'changed');
    expect(await skip()).toMatchObject({ unchanged: false });
    const [, newest] = await listed(kind, repository);
    // Nothing is left out because of an archive that is not whole.
    truncateSync(kind.file(repository, newest?.file ?? ''), 4_096);
    expect(await skip()).toMatchObject({ unchanged: false });
    expect(await listed(kind, repository)).toHaveLength(3);
    if (kind === inDirectory) expect(readdirSync(join(repository, '.etcdferry/unfinished'))).toEqual([]);
    else expect(s3.unfinishedParts()).toEqual([]);
  });

  test('an archive carried in once more is unchanged, also when it is not the newest', async () => {
    const repository = kind.fresh();
    const archives = ['/k/1', '/k/2'].map((prefix) => ({ prefix, path: join(directory, `carried${++count}.tar`) }));
    for (const { prefix, path } of archives)
      expect(await etcdferryInside(['backup', '--from', server.endpoint, '--to', path, '--prefix', prefix, '-q'])).toMatchObject({
        exit: 0,
      });
    const carry = (path: string, ...args: string[]) => run(kind, 'backup', '--from', path, '--to', repository, '--json', ...args);
    for (const unchanged of [false, true])
      for (const { path } of archives)
        expect(jsonOf(await carry(path, '--skip-unchanged'))).toMatchObject({
          stored: { unchanged, sha256: expect.stringMatching(/^[0-9a-f]{64}$/) },
        });
    expect(await listed(kind, repository)).toHaveLength(2);
    const [{ path = '' } = {}] = archives;
    for (const args of [[], ['--skip-unchanged', '--prefix', '/k/11']]) expectOneClearLine(await carry(path, ...args), 11, /there already/);
  });

  test('what is damaged is found, kept in mind, and not spread', async () => {
    const repository = kind.fresh();
    for (const prefix of ['/k/1', '/k/2']) expect(await backup(kind, repository, '--prefix', prefix)).toMatchObject({ exit: 0 });
    const [archive] = await listed(kind, repository);
    const path = kind.file(repository, archive?.file ?? '');
    const bytes = readFileSync(path);
    bytes[5_000] = (bytes[5_000] as number) ^ 1;
    writeFileSync(path, bytes);
    const verified = await run(kind, 'verify', repository);
    expect(verified.exit).toBe(12);
    expect(verified.stdout.toString()).toMatch(/2 locations: 1 whole, 1 not/);
    expect(await listed(kind, repository)).toMatchObject([{ summary: { verified: {}, damagedAt: expect.any(String) } }, {}]);
    const copy = kind.fresh();
    const copied = await run(kind, 'copy', repository, copy, '--json');
    expect(copied.exit).toBe(12);
    expect(jsonOf(copied)).toMatchObject({ archives: [{ outcome: 'failed', error: { code: 'damaged' } }, { outcome: 'copied' }] });
    expect(await listed(kind, copy)).toHaveLength(1);
  });

  test('a summary that is gone is made again by verify', async () => {
    const repository = kind.fresh();
    expect(await backup(kind, repository, '--prefix', '/k/1')).toMatchObject({ exit: 0 });
    const [before] = await listed(kind, repository);
    const summary = kind.file(repository, `.etcdferry/summaries/${before?.file}.json`);
    writeFileSync(summary, 'nothing');
    const { sha256, ...others } = { ...before?.summary } as Listed['summary'] & { sha256: string };
    expect((await listed(kind, repository))[0]?.summary).toEqual({ ...others, verified: {} });
    expect(await run(kind, 'verify', repository, '-q')).toMatchObject({ exit: 0 });
    expect((await listed(kind, repository))[0]?.summary).toMatchObject({ ...others, sha256, verified: { content: expect.any(String) } });
  });

  test('usage', async () => {
    const repository = kind.fresh();
    expectOneClearLine(await backup(kind, repository, '--name', 'a/b'), 2, /cannot name archives/);
    expectOneClearLine(await backup(kind, repository, '--overwrite'), 2, /nothing is ever overwritten/);
    expectOneClearLine(await backup(kind, join(directory, 'x.tar'), '--skip-unchanged'), 2, /--skip-unchanged is for repositories/);
    expectOneClearLine(await run(kind, 'list', server.endpoint), 2, /not a repository/);
  });
});

test('a directory is made with --create, and only then', async () => {
  const path = join(directory, 'new', 'one');
  expectOneClearLine(await backup(inDirectory, `${path}/`), 2, /no such directory/);
  expect(existsSync(path)).toBe(false);
  expect(await backup(inDirectory, path, '--create', '--prefix', '/k/1')).toMatchObject({ exit: 0 });
  expect(await backup(inDirectory, path, '--prefix', '/k/1')).toMatchObject({ exit: 0 });
  expect(readdirSync(path).sort()).toEqual(['.etcdferry', ...(await listed(inDirectory, path)).map(({ file }) => file)]);
});

test('a repository that is not there is told as such, by every flag that only a repository has, and nothing is made', async () => {
  const path = join(directory, 'not mounted');
  const missing = /not mounted.*: no such directory/;
  for (const flags of [
    ['--skip-unchanged'],
    ['--wait', '1s'],
    ['--prune', '--keep-last', '1'],
    ['--keep-daily', '7'],
    ['--keep-within', '30d'],
    ['--name', 'prod', '--skip-unchanged'],
  ]) {
    const result = await backup(inDirectory, path, ...flags);
    expectOneClearLine(result, 2, missing);
    expect(result.stderr).toMatch(/mounted/);
  }
  expectOneClearLine(await backup(inDirectory, `${path}/`, '--prune', '--keep-last', '1'), 2, missing);
  const plain = await backup(inDirectory, path);
  expectOneClearLine(plain, 2, /the ending does not tell/);
  expect(plain.stderr).toMatch(/mounted/);
  for (const [command = '', ...args] of [['list'], ['verify'], ['ls'], ['check-age', '--max-age', '1d'], ['prune', '--keep-last', '1']]) {
    const result = await run(inDirectory, command, path, ...args);
    // verify tells of what is wrong on stdout.
    expect([result.exit, `${result.stdout}${result.stderr}`]).toEqual([2, expect.stringMatching(/no such (file or )?directory/)]);
  }
  expect(existsSync(path)).toBe(false);
});

test('the examples of the documentation work, as written', async () => {
  const text = readFileSync(join(import.meta.dirname, '../../docs/repositories.md'), 'utf8');
  const [example = ''] = [...text.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map((match) => match[1]);
  const at = join(directory, 'docs');
  mkdirSync(at);
  const script = example
    .replaceAll('http://127.0.0.1:2379', `${server.endpoint} --prefix /k/1`)
    .replaceAll('/backup/etcd', join(at, 'backup'))
    .replaceAll('2026-11-23T03:15Z', new Date().toISOString().slice(0, 10))
    .replaceAll('etcdferry ', `"${process.execPath}" "${join(import.meta.dirname, '../../bin/etcdferry.js')}" `);
  const env = { ...cleanEnvironment(), ...s3Environment(), AWS_ENDPOINT_URL_S3: s3.endpoint };
  const { stdout } = await promisify(execFile)('bash', ['-euo', 'pipefail', '-c', script], { cwd: at, env });
  expect(stdout).toMatch(/whole archive/);
  expect(await listed(inBucket, 's3://bucket/etcd')).toMatchObject([{ name: 'prod' }]);
});

describe('buckets', () => {
  test('refused credentials, a missing bucket and a server that is not there', async () => {
    const nobody = `http://127.0.0.1:${await freePort()}`;
    for (const args of [
      ['list', 's3://BUCKET/r'],
      ['verify', 's3://BUCKET/r'],
      ['ls', 's3://BUCKET/r'],
      ['backup', '--from', server.endpoint, '--prefix', '/k/1', '--to', 's3://BUCKET/r'],
      ['backup', '--from', server.endpoint, '--prefix', '/k/1', '--to', 's3://BUCKET/r.tar'],
    ]) {
      const at = (bucket: string): string[] => args.map((arg) => arg.replace('BUCKET', bucket));
      const outcome = async (words: string[]): Promise<CliResult> => {
        const result = await etcdferryInside(words);
        // verify tells of what is wrong on stdout.
        return { ...result, stderr: result.stdout.toString() + result.stderr };
      };
      expectOneClearLine(await outcome([...at('missing'), '--s3-endpoint', s3.endpoint]), 10, /no such bucket/);
      process.env.AWS_ACCESS_KEY_ID = 'REFUSED';
      expectOneClearLine(await outcome([...at('bucket'), '--s3-endpoint', s3.endpoint]), 10, /refuses the credentials.*403/);
      process.env.AWS_ACCESS_KEY_ID = 'S3RVER';
      expectOneClearLine(await outcome([...at('bucket'), '--s3-endpoint', nobody]), 10, /cannot be reached: ECONNREFUSED/);
    }
  });

  test('a server killed half-way through an upload, and started again', async () => {
    const repository = inBucket.fresh();
    const args = ['backup', '--from', server.endpoint, '--to', repository, ...inBucket.flags(), '--limit-rate', '4M'];
    const running = etcdferry(args, { env: s3Environment() });
    await expect.poll(() => s3.unfinishedParts().length, { timeout: 20_000 }).toBeGreaterThan(0);
    await s3.kill();
    const failed = await running;
    expect(failed.exit).toBe(10);
    expect(failed.stderr).toMatch(/cannot be reached/);
    await s3.restart();
    expect(await run(inBucket, 'list', repository)).toMatchObject({ exit: 2 });
    expect(s3.unfinishedParts()).not.toEqual([]);
    expect(await backup(inBucket, repository)).toMatchObject({ exit: 0 });
    expect(s3.unfinishedParts()).toEqual([]);
    expect(readdirSync(join(s3.directory, repository.slice('s3://'.length), '.etcdferry'))).toEqual(['summaries']);
    expect(await run(inBucket, 'verify', repository, '-q')).toMatchObject({ exit: 0 });
  });

  test('an endpoint that is none', async () => {
    expectOneClearLine(await etcdferryInside(['list', 's3://bucket/r', '--s3-endpoint', 'nonsense']), 2, /not a URL/);
    const result = await etcdferryInside(['list', 's3://bucket/r', '--s3-endpoint', 'http://me:secret@127.0.0.1:1']);
    expectOneClearLine(result, 2, /carries a user/);
    expect(result.stderr).not.toMatch(/secret/);
  });

  test('an interrupted upload is cleared away', async () => {
    const repository = inBucket.fresh();
    const args = ['backup', '--from', server.endpoint, '--to', repository, ...inBucket.flags(), '--limit-rate', '2M'];
    const started = async (child: ChildProcess): Promise<void> => {
      await expect.poll(() => s3.unfinishedParts().length, { timeout: 20_000 }).toBeGreaterThan(0);
      child.kill('SIGINT');
    };
    expect(await etcdferry(args, { env: s3Environment(), started })).toMatchObject({ exit: 130 });
    expect(s3.unfinishedParts()).toEqual([]);
    // On a busy machine the signal may come when the last part has arrived: then the archive is whole.
    const { exit } = await run(inBucket, 'list', repository);
    if (exit === 0) expect(await run(inBucket, 'verify', repository)).toMatchObject({ exit: 0 });
    else expect(exit).toBe(2);
  });

  test('hold single archives as well', async () => {
    const location = `s3://bucket/single${++count}.tar`;
    expect(await backup(inBucket, location, '--prefix', '/k/1')).toMatchObject({ exit: 0 });
    expectOneClearLine(await backup(inBucket, location, '--prefix', '/k/1'), 11, /exists already/);
    expect(await backup(inBucket, location, '--prefix', '/k/2', '--overwrite')).toMatchObject({ exit: 0 });
    expect(await run(inBucket, 'verify', location)).toMatchObject({ exit: 0 });
    expect((await run(inBucket, 'ls', location)).stdout.toString()).toMatch(/^\/k\/2/);
    expectOneClearLine(await run(inBucket, 'ls', 's3://bucket/none.tar'), 2, /no such object/);
  });
});
