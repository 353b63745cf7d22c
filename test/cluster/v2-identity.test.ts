import type { RequestListener } from 'node:http';
import { describe, expect, test } from 'vitest';
import { connectV2, type V2Cluster } from '../../src/cluster/v2.js';
import { clusterOptions, failure } from '../support/cluster.js';
import { FakeHttp } from '../support/fake-http.js';

const PATH = Buffer.from('/a');
const CALLS: readonly (readonly [name: string, call: (cluster: V2Cluster) => Promise<unknown>])[] = [
  ['a read of a tree', (cluster) => cluster.readTree(Buffer.alloc(0), ({ body }) => takeAll(body))],
  ['a look at a node', (cluster) => cluster.get(PATH)],
  ['a wait for a change', (cluster) => cluster.watch(PATH, 1n, 1000)],
  ['a look at users', (cluster) => cluster.auth()],
];
const WRITES: typeof CALLS = [
  ['a write', (cluster) => cluster.put(PATH, { value: PATH })],
  ['a deletion of a file', (cluster) => cluster.remove(PATH, { prevIndex: 4n })],
  ['a deletion of a directory', (cluster) => cluster.remove(PATH, { dir: true })],
];
const ALL = [...CALLS, ...WRITES];

async function takeAll(body: AsyncIterable<Buffer>): Promise<void> {
  for await (const _ of body);
}

/** A v2 tree of one node. */
interface Member extends AsyncDisposable {
  readonly endpoint: string;
  is: { cluster: string | undefined; index: number; redirectTo?: string };
  writes: number;
  stop(): Promise<void>;
}

async function member(cluster: string | undefined): Promise<Member> {
  const is: Member['is'] = { cluster, index: 7 };
  let writes = 0;
  const answer: RequestListener = ({ method, url = '' }, response) => {
    if (method !== 'GET') writes++;
    response.setHeader('x-etcd-index', is.index);
    if (is.cluster !== undefined) response.setHeader('x-etcd-cluster-id', is.cluster);
    if (is.redirectTo !== undefined) response.writeHead(307, { location: `${is.redirectTo}${url}` }).end();
    else if (url.startsWith('/v2/auth/')) response.end('{}');
    else response.end('{"action":"set","node":{"key":"/a","value":"v","modifiedIndex":4,"createdIndex":4}}');
  };
  const server = await FakeHttp.start(answer);
  return {
    endpoint: server.endpoint,
    is,
    get writes() {
      return writes;
    },
    stop: () => server[Symbol.asyncDispose](),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

async function connected(...members: readonly Member[]): Promise<V2Cluster & AsyncDisposable> {
  const cluster = connectV2(clusterOptions(members.map(({ endpoint }) => endpoint)));
  return Object.assign(cluster, { [Symbol.asyncDispose]: () => cluster.close() });
}

describe('an answer of another cluster ends the run', () => {
  test.each(ALL)('%s at the next endpoint, which nothing is written to', async (_, call) => {
    await using first = await member('7a');
    await using second = await member('8b');
    await using cluster = await connected(first, second);
    await call(cluster);
    await first.stop();
    const error = await failure(call(cluster));
    expect([error.code, error.exit]).toEqual(['other-cluster', 10]);
    expect(error.message).toBe(
      `the endpoints belong to different clusters: ${second.endpoint} answers for cluster 8b, ${first.endpoint} for cluster 7a`,
    );
    expect(second.writes).toBe(0);
  });

  test.each(ALL)('%s at the same address', async (_, call) => {
    await using server = await member('7a');
    await using cluster = await connected(server);
    await call(cluster);
    server.is.cluster = '8b';
    expect((await failure(call(cluster))).code).toBe('other-cluster');
  });

  test.each(WRITES)('%s where it is redirected to, which nothing is written to', async (_, call) => {
    await using first = await member('7a');
    await using second = await member('8b');
    await using cluster = await connected(first);
    await call(cluster);
    first.is.redirectTo = second.endpoint;
    expect((await failure(call(cluster))).code).toBe('other-cluster');
    expect(second.writes).toBe(0);
  });
});

test.each(WRITES)('%s is not sent to another server that listens at the same address now', async (_, call) => {
  await using server = await member('7a');
  await using cluster = await connected(server);
  await call(cluster);
  const port = new URL(server.endpoint).port;
  await server.stop();
  let writes = 0;
  await using _other = await FakeHttp.start(({ method }, response) => {
    if (method !== 'GET') writes++;
    response.setHeader('x-etcd-cluster-id', '8b').setHeader('x-etcd-index', 9).end('{}');
  }, Number(port));
  let error = await failure(call(cluster));
  // Until the end of the old connection has come through.
  while (error.code === 'unreachable') error = await failure(call(cluster));
  expect([error.code, writes]).toEqual(['other-cluster', 0]);
});

test.each(ALL)('%s of a server that tells no cluster is taken as it is', async (_, call) => {
  await using first = await member(undefined);
  await using second = await member(undefined);
  await using cluster = await connected(first, second);
  await call(cluster);
  await first.stop();
  await call(cluster);
});

test.each([...CALLS.slice(0, 2), ...WRITES])('%s whose index is of the past is another cluster', async (_, call) => {
  await using server = await member('7a');
  await using cluster = await connected(server);
  await cluster.get(PATH);
  server.is.index = 6;
  expect(await failure(call(cluster))).toMatchObject({
    code: 'other-cluster',
    message: expect.stringContaining('the index is 6, and was 7 before'),
  });
});

test.each(CALLS.slice(2))('%s is answered by one member, which may be behind', async (_, call) => {
  await using server = await member('7a');
  await using cluster = await connected(server);
  await cluster.get(PATH);
  server.is.index = 6;
  await call(cluster);
});
