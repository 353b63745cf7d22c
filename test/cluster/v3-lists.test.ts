import { describe, expect, test } from 'vitest';
import type { V3Cluster } from '../../src/cluster/v3.js';
import { connectV3 } from '../../src/cluster/v3-connect.js';
import { FerryError } from '../../src/errors.js';
import { clusterOptions, failure } from '../support/cluster.js';
import { type Answers, EtcdStandIn, Refusal } from '../support/etcd-stand-in.js';

const soon = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 1));

describe.each([
  ['users', 'UserList', 'UserGet', (names: string[]) => ({ users: names })],
  ['roles', 'RoleList', 'RoleGet', (names: string[]) => ({ roles: names })],
])('very many %s', (what, list, get, listOf) => {
  const names = Array.from({ length: 400 }, (_, i) => `name-${i}`);

  test('are asked for 32 at a time, and come in order', async () => {
    let most = 0;
    let now = 0;
    const one = async (): Promise<object> => {
      most = Math.max(most, ++now);
      await soon();
      now--;
      return {};
    };
    await using server = await EtcdStandIn.start({}, { [list]: listOf(names), [get]: one });
    const cluster = await connectV3(clusterOptions(server.endpoint));
    const auth = await cluster.authData();
    expect((what === 'users' ? auth?.users : auth?.roles)?.map(({ name }) => name)).toEqual(names);
    expect(most).toBe(32);
    await cluster.close();
  });

  test('are not asked for any more once the signal is given', async () => {
    const stop = new AbortController();
    const reason = new FerryError('terminated', 'stop');
    const one = (_: never, count: number): object => {
      if (count === 100) stop.abort(reason);
      return {};
    };
    await using server = await EtcdStandIn.start({}, { [list]: listOf(names), [get]: one });
    const cluster = await connectV3(clusterOptions(server.endpoint), stop.signal);
    await expect(cluster.authData()).rejects.toBe(reason);
    expect(server.count(get)).toBeLessThan(200);
    await cluster.close();
  });

  test('come in a list of up to 64 MiB', async () => {
    const long = (count: number): object => listOf(Array.from({ length: count }, (_, i) => `${i}`.padEnd(1 << 20)));
    await using server = await EtcdStandIn.start({}, { [list]: (_: never, count: number) => long(count === 1 ? 40 : 65) });
    const cluster = await connectV3(clusterOptions(server.endpoint));
    expect((await cluster.authData())?.[what as 'users' | 'roles']).toHaveLength(40);
    expect(await failure(cluster.authData())).toMatchObject({
      code: 'failed',
      message: `${server.endpoint}: the list of ${what} is larger than 67108864 bytes`,
    });
    await cluster.close();
  });
});

test('very many leases are their ids, 8 bytes each', async () => {
  const leases = Array.from({ length: 500_000 }, (_, i) => ({ ID: i + 1 }));
  await using server = await EtcdStandIn.start({}, { LeaseLeases: { leases } });
  const cluster = await connectV3(clusterOptions(server.endpoint));
  const ids = await cluster.leases();
  expect([ids.byteLength, ids[0], ids.at(-1)]).toEqual([4_000_000, 1n, 500_000n]);
  await cluster.close();
});

describe('what a user may not ask for', () => {
  test.each<[string, Answers, object | undefined]>([
    ['users', { UserList: new Refusal() }, undefined],
    ['roles', { RoleList: new Refusal() }, undefined],
    ['the details of a user', { UserList: { users: ['u'] }, UserGet: new Refusal() }, undefined],
    ['any of it, as of kine', { UserList: new Refusal(12, 'unknown service etcdserverpb.Auth') }, undefined],
    ['whether authentication is on', { AuthStatus: new Refusal() }, { enabled: undefined, users: [], roles: [] }],
    [
      'that of an etcd before 3.5',
      { AuthStatus: new Refusal(12, 'unknown method AuthStatus') },
      { enabled: undefined, users: [], roles: [] },
    ],
  ])('%s is left out', async (_, answers, told) => {
    await using server = await EtcdStandIn.start({}, answers);
    const cluster = await connectV3(clusterOptions(server.endpoint));
    expect(await cluster.authData()).toEqual(told);
    await cluster.close();
  });

  test('is told from what failed', async () => {
    await using server = await EtcdStandIn.start({}, { UserList: new Refusal(2, 'etcdserver: something else') });
    const cluster = await connectV3(clusterOptions(server.endpoint));
    expect((await failure(cluster.authData())).code).toBe('failed');
    await cluster.close();
  });
});

test('what etcd 3.6 adds to the role root is no permission that it has', async () => {
  const added = { permType: 2, key: Buffer.alloc(0), rangeEnd: Buffer.from([0]) };
  const own = { permType: 0, key: Buffer.from('k'), rangeEnd: Buffer.alloc(0) };
  const wide = { permType: 2, key: Buffer.from([0]), rangeEnd: Buffer.from([0]) };
  await using server = await EtcdStandIn.start({}, { RoleList: { roles: ['app', 'root'] }, RoleGet: { perm: [own, wide, added] } });
  const cluster = await connectV3(clusterOptions(server.endpoint));
  const auth = await cluster.authData();
  expect(auth?.roles.map(({ name, permissions }) => [name, permissions.length])).toEqual([
    ['app', 3],
    ['root', 2],
  ]);
  expect(auth?.roles[1]?.permissions.map(({ type, key }) => [type, key.toString()])).toEqual([
    ['read', 'k'],
    ['readwrite', '\0'],
  ]);
  await cluster.close();
});

/** Each call that can be waited for, and the method that does not answer. */
const WAITS: readonly (readonly [method: string, call: (cluster: V3Cluster) => Promise<unknown>])[] = [
  ['Range', (cluster) => cluster.call('KV/Range', Buffer.from([0x0a, 1, 0x6b]))],
  ['Txn', (cluster) => cluster.call('KV/Txn', Buffer.alloc(0))],
  ['LeaseLeases', (cluster) => cluster.leases()],
  ['LeaseTimeToLive', (cluster) => cluster.leaseState(1n)],
  ['LeaseGrant', (cluster) => cluster.leaseGrant(1n, 60n)],
  ['LeaseRevoke', (cluster) => cluster.leaseRevoke(1n)],
  ['UserList', (cluster) => cluster.authData()],
  ['RoleList', (cluster) => cluster.authData()],
  ['AuthStatus', (cluster) => cluster.authData()],
  ['UserAdd', (cluster) => cluster.userAdd('u', {})],
  ['RoleAdd', (cluster) => cluster.roleAdd('r')],
  ['Range', (cluster) => cluster.snapshot()],
];

test.each(WAITS)('a wait for an answer to %s ends with the signal', async (method, call) => {
  const answers = { [method]: () => new Promise<object>(() => {}) };
  await using server = await EtcdStandIn.start({}, answers);
  const stop = new AbortController();
  const reason = new FerryError('terminated', 'stop');
  const cluster = await connectV3(clusterOptions(server.endpoint, { commandTimeout: 600_000 }), stop.signal);
  const waiting = call(cluster);
  while (server.count(method) === 0) await soon();
  stop.abort(reason);
  await expect(waiting).rejects.toBe(reason);
  await cluster.close();
});

test.each(['Status', 'MemberList', 'Authenticate'])('a wait for %s while connecting ends with the signal', async (method) => {
  await using server = await EtcdStandIn.start({}, { [method]: () => new Promise<object>(() => {}) });
  const stop = new AbortController();
  const reason = new FerryError('terminated', 'stop');
  const options = clusterOptions(server.endpoint, { commandTimeout: 600_000, user: 'u', password: 'p' });
  const connecting = connectV3(options, stop.signal);
  while (server.count(method) === 0) await soon();
  stop.abort(reason);
  await expect(connecting).rejects.toBe(reason);
});
