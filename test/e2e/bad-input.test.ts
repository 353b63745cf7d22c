import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { expectOneClearLine } from '../support/clear-line.js';
import { etcdferry, etcdferryInside, jsonOf } from '../support/cli.js';
import { EtcdServer, etcdVersions, freePort, newestEtcd } from '../support/etcd.js';
import { load } from '../support/load.js';
import { mountTmpfs } from '../support/mount.js';
import { temporaryDirectory } from '../support/temp.js';

const directory = temporaryDirectory();
const at = (name: string): string => join(directory, name);

const FILE = join(import.meta.dirname, '../../testdata/archive/v1-key.tar');

let server: EtcdServer;

beforeAll(async () => {
  server = await EtcdServer.start(newestEtcd());
  await load(
    server.endpoint,
    [1, 2, 3].map((n) => ({ key: Buffer.from(`/k${n}`), value: Buffer.from(String(n)) })),
  );
  expect(await etcdferry(['backup', '--from', server.endpoint, '--to', at('good.tar'), '-q'])).toMatchObject({ exit: 0, stderr: '' });
});

afterAll(() => server.stop());

describe('the command line', () => {
  test.each([
    [[], /a command is missing/],
    [['bakcup'], /backup/],
    [['backup', '--too', 'x'], /to/],
    [['backup', '--from', 'http://127.0.0.1:2379'], /to/],
    [['backup', '--from', 'ftp://x/y', '--to', 'x.tar'], /ftp/],
    [['backup', '--from', 'http://u:p@127.0.0.1:2379', '--to', 'x.tar'], /--user/],
    [['backup', '--to', 'x.tar'], /no source/],
    [['backup', '--from', 'http://127.0.0.1:2379', '--to', 'x.unknown'], /ending/],
    [['backup', '--from', 'http://127.0.0.1:2379', '--to', 'x.tar', '--revision', '-3'], /--revision/],
    [['backup', '--from', 'http://127.0.0.1:2379', '--to', 'x.tar', '--cacert', 'ca.pem'], /plain http/],
    [['backup', '--from', 'https://127.0.0.1:2379', '--to', 'x.tar', '--cert', 'c.pem'], /--key/],
    [['backup', '--from', 'http://127.0.0.1:2379', '--to', 'x.tar', '--user', 'root'], /password/],
    [['backup', '--from', 'http://127.0.0.1:2379', '--to', 'x.tar', '--dial-timeout', '5'], /--dial-timeout/],
    [['restore', '--from', 'missing.tar', '--to', 'http://127.0.0.1:2379'], /missing\.tar: no such file/],
    [['restore', '--from', 'missing.tar', '--to', 'copy.tar'], /live cluster/],
    [['verify', 'missing.tar'], /no such file/],
    [['verify', FILE.concat('/')], /is not a directory, as the slash at its end says/],
    [['verify', join(FILE, 'below')], /a part of the path is not a directory/],
    [['restore', '--from', FILE.concat('/'), '--to', 'new.db'], /is not a directory, as the slash/],
    [['list', FILE.concat('/')], /is not a directory, as the slash/],
    [['completion', 'tcsh'], /tcsh/],
  ])('%j is usage', async (args, says) => {
    const result = await etcdferryInside(args);
    expect(result.stderr + result.stdout.toString()).toMatch(says);
    expect(result.exit).toBe(2);
  });

  test("the shell's endpoints are a source, never a target", async () => {
    const env = { ETCDCTL_ENDPOINTS: server.endpoint };
    expect(await etcdferry(['backup', '--to', at('env.tar')], { env })).toMatchObject({ exit: 0 });
    expect(await etcdferry(['restore', '--from', at('env.tar')], { env })).toMatchObject({ exit: 2 });
  });

  test('a failure is a document too where JSON is wanted', async () => {
    const result = await etcdferry(['verify', '--json', at('good.tar'), at('none.tar')]);
    const lines = result.stdout
      .toString()
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(lines).toMatchObject([
      { schema: 'etcdferry.verify/v1', whole: true, records: 3 },
      { whole: false, error: { code: 'not-found', exit: 2 } },
      { schema: 'etcdferry.verify-summary/v1', verified: 2, whole: 1, failed: 1, exit: 2 },
    ]);
    const usage = await etcdferry(['backup', '--json', '--from', 'http://127.0.0.1:1', '--to', 'x.unknown']);
    expect(jsonOf(usage)).toMatchObject({ schema: 'etcdferry.error/v1', error: { code: 'usage', exit: 2 } });
  });
});

describe('clusters', () => {
  test('no server', async () => {
    const nobody = `http://127.0.0.1:${await freePort()}`;
    const result = await etcdferry(['backup', '--from', nobody, '--to', at('nobody.tar')]);
    expectOneClearLine(result, 10, new RegExp(nobody.slice('http://'.length)));
    expect(existsSync(at('nobody.tar'))).toBe(false);
  });

  for (const etcd of etcdVersions()) {
    test(`etcd ${etcd.version}: a revision compacted, and one in the future`, async () => {
      await using own = await EtcdServer.start(etcd);
      for (let n = 0; n < 5; n++) await own.etcdctl('put', 'k', String(n));
      await own.etcdctl('compact', '4');
      expectOneClearLine(await etcdferry(['backup', '--from', own.endpoint, '--to', at('c.tar'), '--revision', '2']), 2, /compacted/);
      expectOneClearLine(await etcdferry(['backup', '--from', own.endpoint, '--to', at('f.tar'), '--revision', '99']), 2, /future/);
      expect(await etcdferry(['backup', '--from', own.endpoint, '--to', at(`r-${etcd.version}.tar`), '--revision', '5'])).toMatchObject({
        exit: 0,
      });
      expect((await etcdferry(['get', at(`r-${etcd.version}.tar`), 'k'])).stdout.toString()).toBe('3');
      expect(readdirSync(directory).filter((name) => /^\.|^[cf]\.tar/.test(name))).toEqual([]);
    });

    test(`etcd ${etcd.version}: a wrong password`, async () => {
      await using own = await EtcdServer.start(etcd);
      await own.enableAuth('right');
      writeFileSync(at('wrong'), 'wrong\n');
      writeFileSync(at('right'), 'right\n');
      const args = ['backup', '--from', own.endpoint, '--to', at(`auth-${etcd.version}.tar`), '--user', 'root', '--password-file'];
      expectOneClearLine(await etcdferry([...args, at('wrong')]), 10, /password|authentication/);
      expectOneClearLine(await etcdferry(args.slice(0, 5)), 10, /user|auth/);
      expect(await etcdferry([...args, at('right')])).toMatchObject({ exit: 0 });
    });
  }
});

describe('files', () => {
  test.each([
    ['empty', Buffer.alloc(0)],
    ['text', Buffer.from('hello, world\n'.repeat(1000))],
    ['zeros', Buffer.alloc(10_240)],
    ['gzip', Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3])],
  ])('a file that is no archive: %s', async (name, content) => {
    writeFileSync(at(name), content);
    for (const args of [['verify'], ['inspect'], ['ls']]) {
      const result = await etcdferryInside([...args, at(name)]);
      expect(result.stderr + result.stdout.toString()).toMatch(/archive/);
      expect(result.exit).toBe(12);
    }
    expectOneClearLine(await etcdferryInside(['restore', '--from', at(name), '--to', server.endpoint]), 12, /archive/);
    expect(await etcdferry(['verify', '-'], { stdin: content })).toMatchObject({ exit: 12 });
  });

  test('a directory is a repository, and one that is not there is not made', async () => {
    mkdirSync(at('dir'));
    expectOneClearLine(await etcdferry(['restore', '--from', at('dir'), '--to', server.endpoint]), 2, /holds no archives/);
    expectOneClearLine(await etcdferry(['backup', '--from', server.endpoint, '--to', at('unmounted/')]), 2, /no such directory/);
    expect(existsSync(at('unmounted'))).toBe(false);
  });

  test('a target that is there stays as it is, unless --overwrite', async () => {
    writeFileSync(at('mine.tar'), 'mine');
    expectOneClearLine(await etcdferry(['backup', '--from', server.endpoint, '--to', at('mine.tar')]), 11, /already exists/);
    expect(await etcdferry(['backup', '--from', server.endpoint, '--to', at('mine.tar'), '--overwrite'])).toMatchObject({ exit: 0 });
    expect(await etcdferry(['verify', at('mine.tar')])).toMatchObject({ exit: 0 });
  });

  test('a target whose directory is missing', async () => {
    expectOneClearLine(await etcdferry(['backup', '--from', server.endpoint, '--to', at('no/such/x.tar')]), 2, /no\/such/);
  });

  test('a read-only mount', async () => {
    const readOnly = at('read-only');
    mkdirSync(readOnly);
    const unmount = mountTmpfs(readOnly, 'ro,size=1m', 'a read-only mount');
    if (unmount === undefined) return;
    try {
      expectOneClearLine(await etcdferry(['backup', '--from', server.endpoint, '--to', join(readOnly, 'x.tar')]), 1, /read-only/);
    } finally {
      unmount();
    }
  });

  test('a full disk', async () => {
    const full = at('full');
    mkdirSync(full);
    const unmount = mountTmpfs(full, 'size=64k', 'a full disk');
    if (unmount === undefined) return;
    try {
      const noise = Buffer.from(Array.from({ length: 300_000 }, (_, i) => (i * 2654435761) >>> 24));
      await load(server.endpoint, [{ key: Buffer.from('/noise'), value: noise }]);
      expectOneClearLine(await etcdferry(['backup', '--from', server.endpoint, '--to', join(full, 'x.tar')]), 1, /no space/);
      expect(readdirSync(full)).toEqual([]);
    } finally {
      unmount();
    }
  });
});
