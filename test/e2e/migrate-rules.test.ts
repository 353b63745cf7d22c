import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { V3Cluster } from '../../src/cluster/v3.js';
import { connectV3 } from '../../src/cluster/v3-connect.js';
import { leaseIdOf } from '../../src/convert/v2-expiration.js';
import { etcdferry, jsonOf } from '../support/cli.js';
import { clusterOptions } from '../support/cluster.js';
import { EtcdServer, etcdVersions, etcdWithV2, newestEtcd } from '../support/etcd.js';
import { keysOfServer, keysOfTree, type MovedTree, treeOfServer } from '../support/migrated.js';
import { temporaryDirectory } from '../support/temp.js';
import { V2Client } from '../support/v2.js';

const V2 = ['--enable-v2'];
const directory = temporaryDirectory();

let source: EtcdServer;
let tree: MovedTree;

interface Report {
  readonly verdict: string;
  readonly tree: Readonly<Record<string, number>>;
  readonly notes: readonly { readonly code: string; readonly count: number; readonly lossy: boolean }[];
  readonly proof: { readonly keys: number; readonly equal: number; readonly revision: number; readonly furthestEnd?: number };
}

async function migrate(to: EtcdServer | string, ...more: string[]): Promise<Report & { exit: number | null; counts: Map<string, number> }> {
  const target = typeof to === 'string' ? to : to.endpoint;
  const result = await etcdferry(['migrate', '--from', source.endpoint, '--to', target, '--json', ...more]);
  expect(result.stderr).toBe('');
  const report = jsonOf(result) as Report;
  return { ...report, exit: result.exit, counts: new Map(report.notes.map(({ code, count }) => [code, count])) };
}

beforeAll(async () => {
  source = await EtcdServer.start(etcdWithV2(), { args: V2 });
  const client = new V2Client(source.endpoint);
  await client.put('/keep', 'for ever');
  for (const [i, ttl] of [90, 91, 600, 601].entries()) await client.put(`/ttl/k${i}`, 'v', `&ttl=${ttl}`);
  await client.write('PUT', '/dir', 'dir=true&ttl=300');
  await client.put('/dir/file', 'as long as its directory');
  await client.put('/dir/shorter', 'v', '&ttl=200');
  await client.write('PUT', '/dir/empty', 'dir=true');
  await client.write('PUT', '/empty', 'dir=true');
  await client.put('/_hidden/x', 'v');
  tree = await treeOfServer(source);
});
afterAll(() => source.stop());

/** When a lease ends, in milliseconds since the Unix epoch: told at the moment its whole seconds change. */
async function endOf(cluster: V3Cluster, id: bigint): Promise<number> {
  const first = (await cluster.leaseState(id))?.remainingTtl;
  for (;;) {
    const asked = Date.now();
    const state = await cluster.leaseState(id);
    // It has just gone below the number before it.
    if (state?.remainingTtl !== first) return (asked + Date.now()) / 2 + (Number(state?.remainingTtl) + 1) * 1000;
  }
}

describe.each(etcdVersions())('into etcd $version', (etcd) => {
  test.concurrent('exact: every key ends within a second of its expiration', async () => {
    await using target = await EtcdServer.start(etcd);
    const report = await migrate(target);
    expect(report).toMatchObject({ exit: 3, verdict: 'left-out', tree: { leases: 6, emptyDirectories: 2, mortalKeys: 6 } });
    expect(report.proof).toMatchObject({ keys: 7, equal: 7, leases: 6, differing: 0 });
    const cluster = await connectV3(clusterOptions(target.endpoint));
    try {
      const ends = new Map<bigint, number>();
      const ids = new Set([...keysOfTree(tree).values()].flatMap(({ expires }) => (expires === undefined ? [] : [leaseOf(expires)])));
      await Promise.all([...ids].map(async (id) => ends.set(id, await endOf(cluster, id))));
      const apart = [...keysOfTree(tree).values()].flatMap(({ expires }) =>
        expires === undefined ? [] : [((ends.get(leaseOf(expires)) ?? 0) - expires) / 1000],
      );
      expect(apart).toHaveLength(6);
      for (const seconds of apart) expect(Math.abs(seconds)).toBeLessThanOrEqual(1.05);
    } finally {
      await cluster.close();
    }
  });

  test.concurrent('attach-lease: one lease for all that had a TTL, and the same one in a second run', async () => {
    await using target = await EtcdServer.start(etcd);
    const report = await migrate(target, '--ttl', 'attach-lease=3600', '--empty-dirs', 'drop');
    expect(report).toMatchObject({ exit: 0, verdict: 'complete', proof: { keys: 7, equal: 7 } });
    expect(report.counts.get('ttl-attached-lease')).toBe(6);
    const now = Date.now();
    for (const [key, { expires }] of await keysOfServer(target)) {
      if (key === '/keep') expect(expires).toBeUndefined();
      else expect(Math.abs(((expires ?? 0) - now) / 1000 - 3600)).toBeLessThan(20);
    }
    expect(await target.etcdctl('lease', 'list')).toMatch(/^found 1 leases/);
    expect(await migrate(target, '--ttl', 'attach-lease=3600', '--empty-dirs', 'drop')).toMatchObject({
      exit: 0,
      written: { written: 0, equal: 7 },
    });
    expect(await target.etcdctl('lease', 'list')).toMatch(/^found 1 leases/);
  });
});

test.concurrent('permanent: no key has a lease; markers stand for empty directories; hidden ones only where wanted', async () => {
  await using target = await EtcdServer.start(newestEtcd());
  const hidden = ['--include-hidden', '/_hidden'];
  const report = await migrate(target, '--ttl', 'permanent', '--empty-dirs', 'marker', ...hidden);
  expect(report).toMatchObject({ exit: 0, verdict: 'complete', tree: { markers: 2, leases: 0, hidden: 2 } });
  const keys = await keysOfServer(target);
  expect([...keys.keys()].sort()).toEqual([...[...keysOfTree(tree).keys()], '/_hidden/x', '/dir/empty/', '/empty/'].sort());
  expect([...keys.values()].every(({ expires }) => expires === undefined)).toBe(true);
  expect(keys.get('/empty/')?.value).toBe('');
  const dropped = await migrate(`${directory}/no-hidden.tar`, '--hidden', 'drop', '--empty-dirs', 'drop', ...hidden);
  expect(dropped).toMatchObject({ exit: 0, keys: 7 });
  expect(dropped.counts.get('hidden-node-dropped')).toBe(2);
});

test.concurrent('a coarser granularity rounds up, and says so', async () => {
  const report = await migrate(`${directory}/coarse.tar`, '--ttl-granularity', '10m', '--empty-dirs', 'drop');
  expect(report.tree.leases).toBeLessThanOrEqual(2);
  expect(report.counts.get('expiration-rounded')).toBe(6);
});

test.concurrent('users and roles of v2 are listed, without their passwords, from a server and from its files', async () => {
  await using old = await EtcdServer.start(etcdWithV2(), { args: V2 });
  const client = new V2Client(old.endpoint);
  await client.put('/foo', 'bar');
  await client.send('PUT', '/auth/users/root', '{"user":"root","password":"v2 secret"}', 'application/json');
  await client.send('PUT', '/auth/users/bob', '{"user":"bob","password":"v2 secret"}', 'application/json');
  const kv = '{"role":"rw","permissions":{"kv":{"read":["/app/*","/one"],"write":["/app/*"]}}}';
  await client.send('PUT', '/auth/roles/rw', kv, 'application/json');
  await client.send('PUT', '/auth/users/bob', '{"user":"bob","grant":["rw"]}', 'application/json');
  const expected = {
    users: [
      { name: 'bob', roles: ['rw'] },
      { name: 'root', roles: ['root'] },
    ],
    roles: expect.arrayContaining([
      {
        name: 'rw',
        permissions: [
          { type: 'readwrite', pattern: '/app/*' },
          { type: 'read', pattern: '/one' },
        ],
      },
    ]),
  };
  const live = await etcdferry(['migrate', '--from', old.endpoint, '--to', `${directory}/live.tar`, '--json']);
  expect(live).toMatchObject({ exit: 0 });
  expect(jsonOf(live)).toMatchObject({ keys: 1, auth: expected });
  await old.kill();
  const files = await etcdferry([
    'migrate',
    '--from',
    old.dataDir,
    '--to',
    `${directory}/files.tar`,
    '--json',
    '--report',
    `${directory}/files.html`,
  ]);
  expect(files).toMatchObject({ exit: 0 });
  expect(jsonOf(files)).toMatchObject({ keys: 1, auth: expected });
  expect(files.stdout.toString()).not.toMatch(/\$2a\$|secret/);
});

test.concurrent('what makes no sense is refused', async () => {
  const to = ['--from', source.endpoint, '--to', `${directory}/never.tar`];
  const refused: readonly (readonly [string[], RegExp])[] = [
    [['--ttl', 'sometimes'], /--ttl takes exact/],
    [['--ttl', 'attach-lease=0'], /--ttl takes exact/],
    [['--ttl', 'permanent', '--ttl-granularity', '5s'], /--ttl-granularity is for --ttl exact/],
    [['--ttl-granularity', '1500ms'], /whole number of seconds/],
    [['--report', 'report.pdf'], /the ending does not tell/],
    [['--report', `${directory}/missing/report.html`], /--report writing .*missing.report\.html/],
    [['--to-api', 'v2', '--ttl', 'exact'], /--ttl is for the way from v2 to v3/],
  ];
  for (const [flags, says] of refused) {
    expect(await etcdferry(['migrate', ...to, ...flags])).toMatchObject({ exit: 2, stderr: expect.stringMatching(says) });
  }
});

function leaseOf(expires: number): bigint {
  return leaseIdOf(BigInt(Math.ceil(expires / 1000)));
}

test('what was migrated under another name is compared under that name', async () => {
  const [archive, file] = [`${directory}/renamed.tar`, `${directory}/renamed.db`];
  for (const to of [archive, file]) await migrate(to, '--prefix', '/ttl', '--map', '/ttl=/x/ttl');
  const result = await etcdferry(['verify', archive, '--against', file, '--json']);
  expect(result.exit).toBe(0);
  expect(JSON.parse(result.stdout.toString().split('\n')[0] as string)).toMatchObject({ against: { differ: false, equal: 4 } });
});
