import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type CliResult, etcdferry, etcdferryInside, jsonOf } from '../support/cli.js';
import { EtcdServer, etcdWithV2, newestEtcd } from '../support/etcd.js';
import { keysOfServer } from '../support/migrated.js';
import { temporaryDirectory } from '../support/temp.js';
import { V2Client } from '../support/v2.js';

const V2 = ['--enable-v2'];
const directory = temporaryDirectory();
const at = (name: string): string => join(directory, name);
const sleep = (milliseconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, milliseconds));
const codes = (result: CliResult): string[] => (jsonOf(result) as { notes: { code: string }[] }).notes.map(({ code }) => code);

/** Users `app` (`/app/*`), `two` (`/app/*` and `/deep/er/*`); everybody else, guests too, may do nothing. */
async function enableAuth(client: V2Client): Promise<V2Client> {
  const send = (path: string, body: object | undefined, as = client): Promise<unknown> =>
    as.send('PUT', `/auth/${path}`, body === undefined ? '' : JSON.stringify(body), 'application/json');
  const both = (...patterns: string[]) => ({ kv: { read: patterns, write: patterns } });
  await send('users/root', { user: 'root', password: 'r' });
  await send('roles/app', { role: 'app', permissions: both('/app/*') });
  await send('roles/two', { role: 'two', permissions: both('/app/*', '/deep/er/*') });
  for (const name of ['app', 'two']) await send(`users/${name}`, { user: name, password: 'pw', roles: [name] });
  await send('enable', undefined);
  const root = new V2Client(client.endpoint, 'root:r');
  await send('roles/guest', { role: 'guest', revoke: both('/*') }, root);
  return root;
}

describe('a v2 user of a subtree', () => {
  let source: EtcdServer;
  let target: EtcdServer;
  let root: V2Client;
  let targetRoot: V2Client;

  beforeAll(async () => {
    [source, target] = [await EtcdServer.start(etcdWithV2(), { args: V2 }), await EtcdServer.start(etcdWithV2(), { args: V2 })];
    const client = new V2Client(source.endpoint);
    await client.put('/app/x/y', '2');
    await client.put('/app/z', '3');
    await client.put('/app/_hidden/h', '5');
    await client.put('/deep/er/d', '6');
    await client.put('/secret/s', '4');
    const there = new V2Client(target.endpoint);
    await there.put('/app/theirs', 't');
    await there.put('/other', 'o');
    [root, targetRoot] = [await enableAuth(client), await enableAuth(there)];
  });
  afterAll(() => Promise.all([source.stop(), target.stop()]));

  const backup = (user: string, to: string, ...more: string[]) =>
    etcdferryInside(['backup', '--api', 'v2', '--from', source.endpoint, '--user', user, '--to', at(to), '--json', ...more]);
  const listed = async (name: string) => (await etcdferryInside(['ls', at(name)])).stdout.toString().trim().split('\n');

  test('backs up what it may read, and nothing else', async () => {
    const result = await backup('app:pw', 'app.tar', '--prefix', '/app/', '--include-hidden', '/app/_hidden');
    expect([result.exit, codes(result)]).toEqual([0, ['auth-not-read']]);
    expect(await listed('app.tar')).toEqual(['/app/_hidden/', '/app/_hidden/h', '/app/x/', '/app/x/y', '/app/z']);
    expect((await backup('app:pw', 'part.tar', '--prefix', '/app/x')).exit).toBe(0);
    expect(await listed('part.tar')).toEqual(['/app/x/', '/app/x/y']);
    const [wrong, secret, whole, more] = await Promise.all([
      backup('app:wrong', 'no.tar', '--prefix', '/app/'),
      backup('app:pw', 'no.tar', '--prefix', '/secret/'),
      backup('app:pw', 'no.tar'),
      backup('app:pw', 'no.tar', '--prefix', '/app/', '--prefix', '/deep/er/'),
    ]);
    expect([wrong.exit, secret.exit, whole.exit, more.exit]).toEqual([10, 10, 10, 10]);
  });

  test('backs up several directories one by one, and is told what it could not look at', async () => {
    const result = await backup('two:pw', 'two.tar', '--prefix', '/app/', '--prefix', '/deep/er/');
    expect([result.exit, codes(result)]).toEqual([0, ['directory-not-readable', 'auth-not-read']]);
    expect(await listed('two.tar')).toEqual(['/app/x/', '/app/x/y', '/app/z', '/deep/er/d']);
  });

  const into = () => ['--to', target.endpoint, '--prefix', '/app/', '--json'];

  test('restores into it, and nowhere else, and finds nothing to do a second time', async () => {
    expect((await backup('app:pw', 'restore.tar', '--prefix', '/app/')).exit).toBe(0);
    const restore = ['restore', '--from', at('restore.tar'), ...into(), '--user', 'app:pw'];
    expect(jsonOf(await etcdferryInside(restore))).toMatchObject({ written: 3, notes: [] });
    expect(jsonOf(await etcdferryInside(restore))).toMatchObject({ written: 0, equal: 3 });
    expect((await targetRoot.send('GET', '/keys/app/theirs')).status).toBe(200);
    const elsewhere = [...restore.slice(0, 3), '--to', target.endpoint, '--user', 'app:pw', '--map', '/app/=/secret/'];
    expect((await etcdferryInside(elsewhere)).exit).toBe(10);
  });

  test('carries keys back into it', async () => {
    await using keys = await EtcdServer.start(newestEtcd());
    await keys.etcdctl('put', '/app/back/1', 'b');
    await keys.etcdctl('put', '/app/theirs', 't');
    const back = ['migrate', '--to-api', 'v2', '--from', keys.endpoint, ...into(), '--to-user', 'app:pw'];
    // The directories on the way count as nodes.
    expect(jsonOf(await etcdferryInside(back))).toMatchObject({ written: { written: 2, equal: 2 }, proof: { equal: 4, differing: 0 } });
    expect(jsonOf(await etcdferryInside(back))).toMatchObject({ written: { written: 0, equal: 4 } });
  });

  test.each([
    { user: 'app:pw', prefixes: ['/app/'], path: '/app/new' },
    { user: 'two:pw', prefixes: ['/app/', '/deep/er/'], path: '/deep/er/new' },
  ])('$user follows $prefixes into v3', async ({ user, prefixes, path }) => {
    await using keys = await EtcdServer.start(newestEtcd());
    const chosen = prefixes.flatMap((prefix) => ['--prefix', prefix]);
    const args = ['migrate', '--from', source.endpoint, '--from-user', user, '--to', keys.endpoint, ...chosen, '--follow'];
    const result = await etcdferry(args, {
      when: {
        says: /following the source/,
        act: (child) => {
          void (async () => {
            await root.put(path, 'n');
            while (!(await keysOfServer(keys)).has(path)) await sleep(100);
            child.kill('SIGINT');
          })();
        },
      },
    });
    expect(result.exit, result.stderr).toBe(0);
  });
});

describe('hidden nodes', () => {
  test('are asked for by names that are known, and an empty listing is never called an empty tree', async () => {
    await using source = await EtcdServer.start(etcdWithV2(), { args: V2 });
    await using target = await EtcdServer.start(newestEtcd());
    const client = new V2Client(source.endpoint);
    await client.put('/_scheduler/units/abc', 'unit');
    const live = ['--api', 'v2', '--from', source.endpoint];
    const readings = {
      backup: ['backup', ...live, '--to', at('hidden.tar')],
      inspect: ['inspect', '--api', 'v2', source.endpoint],
      streamed: ['migrate', '--from', source.endpoint, '--to', target.endpoint],
      planned: ['migrate', '--from', source.endpoint, '--to', target.endpoint, '--dry-run'],
    };
    for (const [name, args] of Object.entries(readings)) {
      const result = await etcdferryInside([...args, '--json']);
      expect([result.exit, codes(result)], name).toEqual([0, expect.arrayContaining(['hidden-not-listed'])]);
    }
    await client.put('/_etcd/registry/x', 'v');
    await client.put('/shown', 'v');
    for (const [name, args] of Object.entries(readings)) {
      const result = await etcdferryInside([...args, ...(name === 'backup' ? ['--overwrite'] : []), '--json']);
      expect([name === 'inspect' ? 3 : result.exit, codes(result)], name).toEqual([3, expect.arrayContaining(['hidden-node-left-out'])]);
    }
    // Who names it, excludes it, or does not want hidden ones, has no need to be told.
    for (const more of [
      ['--include-hidden', '/_etcd'],
      ['--exclude-prefix', '/_etcd'],
      ['--prefix', '/shown'],
    ]) {
      const result = await etcdferryInside(['backup', ...live, '--to', at('named.tar'), '--overwrite', '--json', ...more]);
      expect([result.exit, codes(result)]).toEqual([0, []]);
    }
    const dropped = await etcdferryInside([...readings.streamed, '--hidden', 'drop', '--json']);
    expect([dropped.exit, codes(dropped)]).toEqual([0, expect.arrayContaining(['hidden-node-left-out'])]);
  });

  test('are read by a prefix that is their name, or that of a directory above them', async () => {
    await using source = await EtcdServer.start(etcdWithV2(), { args: V2 });
    const client = new V2Client(source.endpoint);
    for (const path of ['/_top/a', '/_top/_in/b', '/app/_h/c', '/app/d']) await client.put(path, 'v');
    const listed = async (...prefixes: string[]) => {
      const chosen = prefixes.flatMap((prefix) => ['--prefix', prefix]);
      const backup = ['backup', '--api', 'v2', '--from', source.endpoint, '--to', at('prefixes.tar'), '--overwrite'];
      expect((await etcdferryInside([...backup, ...chosen])).exit).toBe(0);
      const result = await etcdferryInside(['ls', at('prefixes.tar')]);
      return result.stdout.toString().trim().split('\n');
    };
    expect(await listed('/_top/')).toEqual(['/_top/a']);
    expect(await listed('/_top')).toEqual(['/_top/', '/_top/a']);
    expect(await listed('/_top/_in/', '/app/_h', '/app/d')).toEqual(['/_top/_in/b', '/app/_h/', '/app/_h/c', '/app/d']);
  });
});
