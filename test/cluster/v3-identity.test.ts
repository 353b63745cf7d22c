import { describe, expect, test } from 'vitest';
import { ClusterIdentity } from '../../src/cluster/identity.js';
import type { V3Cluster } from '../../src/cluster/v3.js';
import { connectV3 } from '../../src/cluster/v3-connect.js';
import { encodeDeleteRange, encodeRange, encodeTxn } from '../../src/wire/rpc-request.js';
import { clusterOptions, failure } from '../support/cluster.js';
import { EtcdStandIn, Refusal } from '../support/etcd-stand-in.js';

const KEY = Buffer.from('k');
const PERMISSION = { type: 'read' as const, key: KEY, rangeEnd: Buffer.alloc(0) };

async function takeAll(blobs: AsyncIterable<Buffer>): Promise<void> {
  for await (const _ of blobs);
}

/** Every call that the connection makes: what it reads, and what it writes. */
const READS: readonly (readonly [name: string, call: (cluster: V3Cluster) => Promise<unknown>])[] = [
  ['KV.Range', (cluster) => cluster.call('KV/Range', encodeRange({ key: KEY }))],
  ['Maintenance.Status', (cluster) => cluster.status()],
  ['what is known of it', (cluster) => cluster.about()],
  ['Lease.LeaseLeases', (cluster) => cluster.leases()],
  ['Lease.LeaseTimeToLive', (cluster) => cluster.leaseState(9n)],
  ['Lease.LeaseTimeToLive with keys', (cluster) => cluster.leaseKeys(9n)],
  ['Auth.UserList, RoleList, AuthStatus', (cluster) => cluster.authData()],
  ['Maintenance.Snapshot', async (cluster) => takeAll((await cluster.snapshot()).blobs)],
];
const WRITES: readonly (readonly [name: string, method: string, call: (cluster: V3Cluster) => Promise<unknown>])[] = [
  [
    'KV.Txn',
    'Txn',
    (cluster) =>
      cluster.call('KV/Txn', encodeTxn({ compares: [], success: [{ kind: 'put', key: KEY, value: KEY, lease: 0n }], failure: [] })),
  ],
  ['KV.DeleteRange', 'DeleteRange', (cluster) => cluster.call('KV/DeleteRange', encodeDeleteRange(KEY))],
  ['Lease.LeaseGrant', 'LeaseGrant', (cluster) => cluster.leaseGrant(9n, 60n)],
  ['Lease.LeaseRevoke', 'LeaseRevoke', (cluster) => cluster.leaseRevoke(9n)],
  ['Auth.RoleAdd', 'RoleAdd', (cluster) => cluster.roleAdd('r')],
  ['Auth.RoleGrantPermission', 'RoleGrantPermission', (cluster) => cluster.rolePermit('r', PERMISSION)],
  ['Auth.UserAdd', 'UserAdd', (cluster) => cluster.userAdd('u', {})],
  ['Auth.UserGrantRole', 'UserGrantRole', (cluster) => cluster.userGrant('u', 'r')],
];
const ALL = [...READS, ...WRITES.map(([name, , call]) => [name, call] as const)];

describe('an answer of another cluster ends the run, whatever was asked', () => {
  test.each(ALL)('%s at the next endpoint', async (_, call) => {
    await using first = await EtcdStandIn.start();
    await using second = await EtcdStandIn.start({ cluster: 8 });
    const cluster = await connectV3(clusterOptions([first.endpoint, second.endpoint]));
    first.stop();
    const error = await failure(call(cluster));
    expect([error.code, error.exit]).toEqual(['other-cluster', 10]);
    expect(error.message).toBe(
      `the endpoints belong to different clusters: ${second.endpoint} answers for cluster 8, ${first.endpoint} for cluster 7`,
    );
    await cluster.close();
  });

  test.each(ALL)('%s at the same address, where another server listens now', async (_, call) => {
    await using server = await EtcdStandIn.start();
    const cluster = await connectV3(clusterOptions(server.endpoint));
    await call(cluster);
    server.is.cluster = 8;
    await server.restart();
    let error = await failure(call(cluster));
    // Until the end of the old connection has come through.
    while (error.code === 'unreachable') error = await failure(call(cluster));
    expect(error).toMatchObject({ code: 'other-cluster', message: expect.stringContaining('answers for cluster 8, and answered for') });
    await cluster.close();
  });

  test.each(ALL)('%s over the same connection, as through a proxy', async (_, call) => {
    await using server = await EtcdStandIn.start();
    const cluster = await connectV3(clusterOptions(server.endpoint));
    await call(cluster);
    server.is.cluster = 8;
    expect((await failure(call(cluster))).code).toBe('other-cluster');
    await cluster.close();
  });
});

test.each(WRITES)('%s is not sent before it is known whose cluster is written to', async (_, method, call) => {
  await using first = await EtcdStandIn.start();
  await using second = await EtcdStandIn.start({ cluster: 8 });
  const cluster = await connectV3(clusterOptions([first.endpoint, second.endpoint]));
  await call(cluster);
  first.stop();
  await failure(call(cluster));
  expect([first.count(method), second.count(method)]).toEqual([1, 0]);
  await cluster.close();
});

test('a write is not sent to another server at the same address either', async () => {
  await using server = await EtcdStandIn.start();
  const cluster = await connectV3(clusterOptions(server.endpoint));
  await cluster.leaseGrant(9n, 60n);
  server.is.cluster = 8;
  await server.restart();
  await failure(cluster.leaseGrant(10n, 60n));
  expect(server.count('LeaseGrant')).toBe(1);
  await cluster.close();
});

test('who may not ask for the status is told apart by what may be asked', async () => {
  await using first = await EtcdStandIn.start({}, { Status: new Refusal() });
  await using second = await EtcdStandIn.start({ cluster: 8 }, { Status: new Refusal() });
  const cluster = await connectV3(clusterOptions([first.endpoint, second.endpoint]));
  expect(await cluster.about()).toMatchObject({ clusterId: 7n, memberId: 2n, revision: 100n });
  first.stop();
  expect((await failure(cluster.leaseGrant(9n, 60n))).code).toBe('other-cluster');
  expect(second.count('LeaseGrant')).toBe(0);
  await cluster.close();
});

describe('the member that answers is looked for in the list of members', () => {
  test.each(ALL)('%s of a member that is in no list ends the run', async (_, call) => {
    await using server = await EtcdStandIn.start({ members: [2, 3] });
    const cluster = await connectV3(clusterOptions(server.endpoint));
    server.is.member = 3;
    await call(cluster);
    server.is.member = 4;
    const error = await failure(call(cluster));
    expect(error).toMatchObject({ code: 'other-cluster', message: expect.stringContaining('no such member') });
    await cluster.close();
  });

  test('one that was added meanwhile is found when the list is asked for again', async () => {
    await using server = await EtcdStandIn.start();
    const cluster = await connectV3(clusterOptions(server.endpoint));
    server.is.member = 3;
    server.is.members = [2, 3];
    await cluster.leases();
    expect(server.count('MemberList')).toBe(2);
    await cluster.close();
  });

  test.each([
    ['may not be read', undefined],
    ['is empty', []],
  ])('a list that %s says nothing', async (_, members) => {
    await using server = await EtcdStandIn.start({ members });
    const cluster = await connectV3(clusterOptions(server.endpoint));
    server.is.member = 3;
    await cluster.leases();
    await cluster.close();
  });

  test('the list is asked of a member that is known, as one that was removed has itself in its own', async () => {
    await using first = await EtcdStandIn.start({ members: [2, 3] });
    await using removed = await EtcdStandIn.start({ member: 4, members: [2, 3, 4] });
    let refuse = false;
    await using known = await EtcdStandIn.start(
      {},
      { Status: () => (refuse ? new Refusal(14, 'etcdserver: no leader') : { version: '3.5.16' }) },
    );
    const cluster = await connectV3(clusterOptions([known.endpoint, removed.endpoint]));
    refuse = true;
    expect((await failure(cluster.status())).message).toContain('no such member');
    expect(first.calls).toEqual([]);
    await cluster.close();
  });
});

describe('a revision of the past', () => {
  const range = encodeRange({ key: KEY });

  test.each([
    ['KV.Range', READS[0]?.[1]],
    ['KV.Txn', WRITES[0]?.[2]],
    ['KV.DeleteRange', WRITES[1]?.[2]],
  ])('in an answer to %s, which the members agree on, is another cluster', async (_, call) => {
    await using server = await EtcdStandIn.start();
    const cluster = await connectV3(clusterOptions(server.endpoint));
    await cluster.call('KV/Range', range);
    server.is.revision = 99;
    const error = await failure((call as (cluster: V3Cluster) => Promise<unknown>)(cluster));
    expect(error).toMatchObject({ code: 'other-cluster', message: expect.stringContaining('the revision is 99, and was 100 before') });
    await cluster.close();
  });

  test.each(READS.slice(1))('told by the same member to %s is another cluster', async (_, call) => {
    await using server = await EtcdStandIn.start();
    const cluster = await connectV3(clusterOptions(server.endpoint));
    server.is.revision = 99;
    expect((await failure(call(cluster))).code).toBe('other-cluster');
    await cluster.close();
  });

  test('told by another member is none: it may be behind, but not in what the members agree on', async () => {
    await using server = await EtcdStandIn.start({ members: [2, 3] });
    const cluster = await connectV3(clusterOptions(server.endpoint));
    await cluster.call('KV/Range', range);
    Object.assign(server.is, { member: 3, revision: 99 });
    await cluster.status();
    expect((await failure(cluster.call('KV/Range', range))).code).toBe('other-cluster');
    await cluster.close();
  });

  test('is not looked at where the cluster has no id: kine tells the revision that was asked for', async () => {
    await using server = await EtcdStandIn.start({ cluster: 0, member: 0, members: [] });
    const cluster = await connectV3(clusterOptions(server.endpoint));
    await cluster.call('KV/Range', range);
    server.is.revision = 99;
    await cluster.call('KV/Range', range);
    server.is.cluster = 7;
    expect((await failure(cluster.call('KV/Range', range))).code).toBe('other-cluster');
    await cluster.close();
  });

  test('of an answer to a request that was sent before is none', async () => {
    const identity = new ClusterIdentity();
    const header = { clusterId: 7n, memberId: 2n, revision: 100n };
    const early = identity.told;
    await identity.accept({ header, address: 'a', before: early, agreed: true });
    await identity.accept({ header: { ...header, revision: 99n }, address: 'a', before: early, agreed: true });
    expect(
      (await failure(identity.accept({ header: { ...header, revision: 99n }, address: 'a', before: identity.told, agreed: true }))).code,
    ).toBe('other-cluster');
  });
});
