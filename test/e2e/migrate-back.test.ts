import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type CliResult, etcdferry, jsonOf } from '../support/cli.js';
import { EtcdServer, etcdVersions, etcdWithV2 } from '../support/etcd.js';
import { expectSame, keysOfServer, type MovedTree, treeOfServer } from '../support/migrated.js';
import { temporaryDirectory } from '../support/temp.js';

const directory = temporaryDirectory();
const at = (name: string): string => join(directory, name);
const notesOf = (result: CliResult): Record<string, number> =>
  Object.fromEntries((jsonOf(result) as { notes: { code: string; count: number }[] }).notes.map(({ code, count }) => [code, count]));

/** What the keys below have to become, by hand. */
const EXPECTED = {
  '/app': '',
  '/app/config': 'yes',
  '/app/db': '',
  '/app/db/host': 'db1',
  '/app/db/port': '5432',
  '/relative': 'r',
  '/session': '',
  '/session/1': 'alive',
  '/marked': '',
};

describe.each(etcdVersions())('v3 keys of etcd $version go back to v2', (etcd) => {
  let source: EtcdServer;
  let tree: MovedTree;
  const back = (...more: string[]) => etcdferry(['migrate', '--to-api', 'v2', '--json', ...more]);

  beforeAll(async () => {
    source = await EtcdServer.start(etcd);
    const plain = {
      '/app/config': 'yes',
      '/app/db': 'lost',
      '/app/db/host': 'db1',
      '/app/db/port': '5432',
      relative: 'r',
      '/marked/': '',
      '/bad//path': 'x',
    };
    for (const [key, value] of Object.entries(plain)) await source.etcdctl('put', key, value);
    const granted = /lease (\w+)/.exec(await source.etcdctl('lease', 'grant', '600'))?.[1] as string;
    await source.etcdctl('put', '/session/1', 'alive', `--lease=${granted}`);
    const leased = (await keysOfServer(source)).get('/session/1');
    tree = new Map(
      Object.entries(EXPECTED).map(([path, value]) => [
        path,
        { dir: value === '', value, expires: path === '/session/1' ? leased?.expires : undefined },
      ]),
    );
  });
  afterAll(() => source.stop());

  test('live, by way of an archive of keys, by way of an archive of the tree, and once only', async () => {
    await using target = await EtcdServer.start(etcdWithV2(), { args: ['--enable-v2'] });
    const live = ['--from', source.endpoint, '--to', target.endpoint];
    const planned = await back(...live, '--dry-run');
    expect(planned.exit).toBe(3);
    expect(notesOf(planned)).toEqual({ 'path-not-v2': 1, 'slash-added': 1, 'value-over-directory': 1, 'directory-from-marker': 1 });
    expect((await treeOfServer(target)).size).toBe(0);

    const written = await back(...live);
    expect(written).toMatchObject({ exit: 3, stderr: '' });
    expect(jsonOf(written)).toMatchObject({ source: { revision: expect.any(Number) }, nodes: tree.size, written: { written: tree.size } });
    expect(jsonOf(written)).toMatchObject({ proof: { keys: tree.size, equal: tree.size, differing: 0, differences: [] } });
    expectSame(await treeOfServer(target), tree, 2);
    expect(jsonOf(await back(...live))).toMatchObject({ written: { written: 0, equal: tree.size } });

    await target.etcdctl2('set', '/app/config', 'changed');
    expect((await back(...live)).exit).toBe(11);
    expect(jsonOf(await back(...live, '--on-conflict', 'overwrite'))).toMatchObject({ written: { overwritten: 1 } });

    expect((await etcdferry(['backup', '--from', source.endpoint, '--to', at(`${etcd.minor}.tar`)])).exit).toBe(0);
    expect(jsonOf(await back('--from', at(`${etcd.minor}.tar`), '--to', target.endpoint, '--lease-ttl', 'deadline'))).toMatchObject({
      written: { written: 0, equal: tree.size },
    });
  });

  test('into an archive of a tree, which restores like any other; values of directories under a name', async () => {
    const file = at(`tree-${etcd.minor}.tar`);
    const args = ['--from', source.endpoint, '--to', file, '--directory-value', 'value', '--add-prefix', '/old', '--prefix', '/app/'];
    expect((await back(...args, '--dry-run')).exit).toBe(0);
    expect(existsSync(file)).toBe(false);
    const made = await back(...args);
    expect([made.exit, jsonOf(made)]).toMatchObject([0, { proof: { keys: 7, equal: 7, differing: 0 } }]);
    expect(jsonOf(await back(...args, '--overwrite', '--no-proof'))).not.toHaveProperty('proof');
    await using target = await EtcdServer.start(etcdWithV2(), { args: ['--enable-v2'] });
    expect((await etcdferry(['restore', '--from', file, '--to', target.endpoint])).exit).toBe(0);
    expect(
      [...(await treeOfServer(target))]
        .filter(([, { dir }]) => !dir)
        .map(([path, { value }]) => `${path}=${value}`)
        .sort(),
    ).toEqual(['/old/app/config=yes', '/old/app/db/host=db1', '/old/app/db/port=5432', '/old/app/db/value=lost']);
  });
});

test('what cannot be is refused before anything is read', async () => {
  const to = (...args: string[]) => etcdferry(['migrate', '--from', at('none.tar'), ...args]);
  expect(await to('--to-api', 'v2', '--to', at('x.db'))).toMatchObject({ exit: 2, stderr: expect.stringContaining('never a v2 tree') });
  expect(await to('--to-api', 'v2', '--proof', '--to', '-')).toMatchObject({
    exit: 2,
    stderr: expect.stringContaining('--proof: stdout cannot be read back'),
  });
  expect(await to('--directory-value', 'x', '--to', at('x.tar'))).toMatchObject({
    exit: 2,
    stderr: expect.stringContaining('for --to-api v2'),
  });
  expect(await to('--lease-ttl', 'drop', '--to', at('x.tar'))).toMatchObject({
    exit: 2,
    stderr: expect.stringContaining('for --to-api v2'),
  });
});
