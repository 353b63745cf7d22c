import { spawn } from 'node:child_process';
import { openSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Authority } from '../support/certificates.js';
import { etcdferry, etcdferryInside, jsonOf } from '../support/cli.js';
import { cleanEnvironment, EtcdServer, newestEtcd } from '../support/etcd.js';
import { load } from '../support/load.js';
import { temporaryDirectory } from '../support/temp.js';

const BIN = join(import.meta.dirname, '../../bin/etcdferry.js');
const directory = temporaryDirectory();
const at = (name: string): string => join(directory, name);
let server: EtcdServer;

beforeAll(async () => {
  server = await EtcdServer.start(newestEtcd());
  const many = Array.from({ length: 5_000 }, (_, n) => ({ key: Buffer.from(`/many/keys/of/some/length/${n}`), value: Buffer.from('v') }));
  await load(server.endpoint, [...many, { key: Buffer.from('-dash'), value: Buffer.from('dashed') }]);
  expect(await etcdferry(['backup', '--from', server.endpoint, '--to', at('a.tar')])).toMatchObject({ exit: 0 });
});
afterAll(() => server.stop());

describe('words', () => {
  test.each(['from', 'to', 'revision', 'user'])('--%s given twice is usage, and says so', async (flag) => {
    const args = ['backup', '--from', server.endpoint, '--to', at('twice.tar'), `--${flag}`, '1', `--${flag}`, '2'];
    const result = await etcdferry(args);
    expect(result).toMatchObject({ exit: 2 });
    expect(result.stderr).toContain(`--${flag} was given more than once`);
  });

  test('what stands after -- is no flag', async () => {
    expect((await etcdferry(['get', at('a.tar'), '--', '-dash'])).stdout.toString()).toBe('dashed');
    expect((await etcdferry(['get', '--', at('a.tar'), '-dash'])).stdout.toString()).toBe('dashed');
  });
});

test('an empty value after = is the same as an empty word, also of a flag that can be given several times', async () => {
  const listed = async (...flags: string[]): Promise<string> =>
    (await etcdferryInside(['inspect', at('a.tar'), '--json', ...flags])).stdout.toString();
  expect(await listed('--prefix=')).toBe(await listed('--prefix', ''));
  expect(JSON.parse(await listed('--prefix='))).toMatchObject({ schema: 'etcdferry.inspect/v1' });
  const refused = await etcdferryInside(['inspect', at('a.tar'), '--exclude-prefix=']);
  expect(refused).toMatchObject({ exit: 2, stderr: expect.stringMatching(/--exclude-prefix is empty/) });
});

describe('usage', () => {
  test('names the command whose help is meant, and the argument that is missing', async () => {
    for (const [args, says, command] of [
      [['verify'], '<location> is missing: etcdferry verify <location..>', ' verify'],
      [['diff', at('a.tar')], '<to> is missing: etcdferry diff <from> <to>', ' diff'],
      [['get', at('a.tar'), 'k', '--what'], 'unknown argument: what', ' get'],
      [['vrify'], 'did you mean verify?', ''],
    ] as const) {
      const { exit, stderr } = await etcdferry(args);
      expect({ exit, stderr }).toEqual({ exit: 2, stderr: `etcdferry: ${says}\n  See: etcdferry${command} --help\n` });
    }
  });

  test('is what a switch with a strange value is, and --name for a file', async () => {
    for (const value of ['maybe', '']) {
      const { exit, stderr } = await etcdferry(['diff', at('a.tar'), at('a.tar'), `--ignore-noise=${value}`]);
      expect(exit).toBe(2);
      expect(stderr).toContain('--ignore-noise takes no value, and one was given');
    }
    expect(await etcdferry(['diff', at('a.tar'), at('a.tar'), '--ignore-noise=true', '-q=false'])).toMatchObject({ exit: 0 });
    const named = await etcdferry(['verify', at('a.tar'), '--name', 'x']);
    expect(named).toMatchObject({ exit: 2 });
    expect(named.stderr).toContain(`--name is for a repository; ${at('a.tar')} is none`);
  });
});

test('a reader who has seen enough is no failure worth a word; a lost archive is', async () => {
  const until = async (...args: string[]): Promise<{ exit: number | null; stderr: string }> => {
    const child = spawn(process.execPath, [BIN, ...args], { env: cleanEnvironment() });
    let stderr = '';
    child.stderr.on('data', (chunk: Buffer) => {
      stderr += chunk.toString();
    });
    child.stdout.destroy();
    const exit = await new Promise<number | null>((resolve) => child.on('close', resolve));
    return { exit, stderr };
  };
  expect(await until('ls', at('a.tar'))).toEqual({ exit: 1, stderr: '' });
  expect(await until('ls', at('a.tar'), '--json')).toEqual({ exit: 1, stderr: '' });
  const archive = await until('backup', '--from', at('a.tar'), '--to', '-', '--quiet');
  expect(archive.exit).toBe(1);
  expect(archive.stderr).toContain('its reader has gone away');
});

describe('a failure with --json', () => {
  test('is a document on stdout, however the flag is spelled', async () => {
    const result = await etcdferry(['backup', '--from', at('none'), '--to', at('x.tar'), '--json=true']);
    expect(jsonOf(result)).toMatchObject({ error: { code: 'not-found', exit: 2 } });
  });

  test('never goes into an archive on stdout', async () => {
    const result = await etcdferry(['backup', '--from', at('none'), '--to', '-', '--json']);
    expect(result).toMatchObject({ exit: 2, stdout: Buffer.alloc(0) });
    expect(JSON.parse(result.stderr.split('\n')[0] as string)).toMatchObject({ error: { exit: 2 } });
  });
});

describe('stdin and stdout', () => {
  test('a full stdout is a failure, not a silence', async () => {
    const exit = await new Promise((resolve) => {
      const child = spawn(process.execPath, [BIN, 'ls', at('a.tar')], { stdio: ['ignore', openSync('/dev/full', 'w'), 'ignore'] });
      child.on('exit', resolve);
    });
    expect(exit).toBe(1);
  });

  test.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('%s ends a run that waits for stdin', async (signal, expected) => {
    const child = spawn(process.execPath, [BIN, 'verify', '-'], { stdio: ['pipe', 'ignore', 'pipe'], env: cleanEnvironment() });
    child.stdin.write('the beginning of something');
    const timer = setTimeout(() => child.kill(signal), 1_500);
    const exit = await new Promise((resolve) => child.on('exit', resolve));
    clearTimeout(timer);
    expect(exit).toBe(expected);
  });
});

describe('secrets and certificates', () => {
  const count = (text: string, part: string): number => text.split(part).length - 1;

  test('a password given by flag is warned of, once', async () => {
    const flags = ['--user', 'root', '--password', 'secret'];
    const result = await etcdferry(['restore', '--from', at('a.tar'), '--to', server.endpoint, '--dry-run', '-q', ...flags]);
    expect(result.exit).toBe(0);
    expect(count(result.stderr, '--password-file')).toBe(1);
    expect(result.stderr).not.toContain('secret');
  });

  test('no verification is warned of loudly, even when quiet; an expired client certificate is named', async () => {
    using authority = new Authority();
    const [own, client, expired] = [authority.issue(), authority.issue(), authority.issue({ expired: true })];
    const flags = ['--cert-file', own.certFile, '--key-file', own.keyFile, '--trusted-ca-file', authority.caFile, '--client-cert-auth'];
    await using secure = await EtcdServer.start(newestEtcd(), { scheme: 'https', args: flags });
    const args = ['backup', '--from', secure.endpoint, '-q', '--to'];
    const withClient = ['--cert', client.certFile, '--key', client.keyFile];
    const checked = await etcdferry([...args, at('checked.tar'), ...withClient, '--cacert', authority.caFile]);
    expect(checked).toMatchObject({ exit: 0, stderr: '' });
    const unchecked = await etcdferry([...args, at('unchecked.tar'), ...withClient, '--insecure-skip-tls-verify']);
    expect(unchecked.exit).toBe(0);
    expect(unchecked.stderr).toMatch(/^WARNING: .*NOT checked/);
    const late = [...args, at('late.tar'), '--cacert', authority.caFile, '--cert', expired.certFile, '--key', expired.keyFile];
    const refused = await etcdferry(late);
    expect(refused.exit).toBe(10);
    expect(refused.stderr).toMatch(/client's certificate has expired/);
  });
});

test('a web server is told from an etcd, and is exit 10', async () => {
  const web = createServer((_, response) => response.end('hello')).listen(0, '127.0.0.1');
  await new Promise((resolve) => web.once('listening', resolve));
  const { port } = web.address() as { port: number };
  const result = await etcdferry(['ls', `http://127.0.0.1:${port}`]);
  web.close();
  expect(result.exit).toBe(10);
  expect(result.stderr).toMatch(/does not speak gRPC/);
});

test('a dry run says what is to be done, not what was', async () => {
  const args = [
    'restore',
    '--from',
    at('a.tar'),
    '--to',
    server.endpoint,
    '--prefix',
    '/many/',
    '--delete-extra',
    '--map',
    '/many/=/moved/',
  ];
  const result = await etcdferry([...args, '--dry-run']);
  expect(result.exit).toBe(0);
  expect(result.stderr).toMatch(/^would write 5,000 keys/);
  expect(result.stderr).not.toMatch(/\d (extra keys? deleted|leases? granted|keys? overwritten)|now at/);
});
