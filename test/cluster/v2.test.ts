import { createServer, type RequestListener } from 'node:http';
import { createServer as createTcpServer, type Socket } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import type { ClusterOptions, TlsOptions } from '../../src/cluster/options.js';
import { connectV2, type V2Cluster } from '../../src/cluster/v2.js';
import { FerryError } from '../../src/errors.js';
import type { TreeNode } from '../../src/model/node.js';
import { Authority } from '../support/certificates.js';
import { EtcdServer, etcdVersions, etcdWithV2, freePort } from '../support/etcd.js';
import { failure, V2Client } from '../support/v2.js';

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

function connectTo(endpoints: string[], options: Partial<ClusterOptions> = {}): V2Cluster {
  const cluster = connectV2({ endpoints, dialTimeout: 1000, commandTimeout: 5000, ...options });
  cleanups.push(() => cluster.close());
  return cluster;
}

async function startEtcd(args: string[] = ['--enable-v2'], etcd = etcdWithV2()): Promise<EtcdServer> {
  const server = await EtcdServer.start(etcd, { args });
  cleanups.push(() => server.stop());
  return server;
}

/** A server that makes faults. */
async function faulty(listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  cleanups.push(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  return `http://127.0.0.1:${(server.address() as { port: number }).port}`;
}

/** A server that answers every connection with the same bytes, and hangs up. */
async function rawServer(answer: string): Promise<string> {
  const sockets = new Set<Socket>();
  const server = createTcpServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.once('data', () => socket.end(answer));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  cleanups.push(async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  });
  return `http://127.0.0.1:${(server.address() as { port: number }).port}`;
}

const ROOT = Buffer.alloc(0);

/** The bytes of a tree's JSON, all of it. */
async function treeJson(cluster: V2Cluster, path = ROOT, signal?: AbortSignal): Promise<string> {
  return cluster.readTree(
    path,
    async ({ body }) => {
      const parts: Buffer[] = [];
      for await (const chunk of body) parts.push(chunk);
      return Buffer.concat(parts).toString();
    },
    signal,
  );
}

const ETCD_HEADERS = { 'x-etcd-index': '7', 'x-etcd-cluster-id': 'cdf818194e3a8c32', 'content-type': 'application/json' };
const TREE = '{"action":"get","node":{"dir":true,"nodes":[{"key":"/foo","value":"bar","modifiedIndex":7,"createdIndex":7}]}}\n';
const etcdLike: RequestListener = (_, response) => response.writeHead(200, ETCD_HEADERS).end(TREE);

describe('fail-over', () => {
  test('goes on to the endpoint that answers, and stays there', async () => {
    let asked = 0;
    const bad = await faulty((_, response) => {
      asked++;
      response.writeHead(503).end();
    });
    const cluster = connectTo([`http://127.0.0.1:${await freePort()}`, bad, await faulty(etcdLike)]);
    expect(await treeJson(cluster)).toBe(TREE);
    expect(await treeJson(cluster)).toBe(TREE);
    expect(asked).toBe(1);
  });

  test('reads anew from the next endpoint when an answer is cut short', async () => {
    const cut = await rawServer(`HTTP/1.1 200 OK\r\nX-Etcd-Index: 7\r\nTransfer-Encoding: chunked\r\n\r\n14\r\n${TREE.slice(0, 20)}\r\n`);
    expect(await treeJson(connectTo([cut, await faulty(etcdLike)]))).toBe(TREE);
  });

  test('names every endpoint when none answers', async () => {
    const [a, b] = [
      `http://127.0.0.1:${await freePort()}`,
      await faulty((_, response) => response.writeHead(404).end('404 page not found\n')),
    ];
    const error = await failure(treeJson(connectTo([a, b])));
    expect(error).toMatchObject({
      code: 'unreachable',
      message: expect.stringContaining(`${a}: connection refused; ${b} does not serve the v2 API`),
    });
  });

  test('does not hide that credentials are refused, or a path is not there', async () => {
    const refusing = await faulty((_, response) =>
      response.writeHead(401).end('{"errorCode":110,"message":"no","cause":"Insufficient credentials"}'),
    );
    expect(await failure(treeJson(connectTo([refusing, await faulty(etcdLike)])))).toMatchObject({ code: 'unauthorized' });
    const missing = await faulty((_, response) => response.writeHead(404).end('{"errorCode":100,"message":"Key not found","cause":"/x"}'));
    expect(await failure(treeJson(connectTo([missing, await faulty(etcdLike)])))).toMatchObject({ code: 'not-found' });
  });
});

describe('redirects', () => {
  test('to the leader are followed, with method, body and credentials', async () => {
    const etcd = await startEtcd();
    const seen: (string | undefined)[] = [];
    const follower = await faulty((request, response) => {
      seen.push(request.method);
      response.writeHead(307, { location: `${etcd.endpoint}${request.url}` }).end();
    });
    const cluster = connectTo([follower], { user: 'root', password: 'x' });
    expect(await cluster.put(Buffer.from('/a b/ünï'), { value: Buffer.from('v&=%') })).toBeUndefined();
    expect(await treeJson(cluster)).toContain('"/a b/ünï","value":"v\\u0026=%"');
    expect(seen).toEqual(['GET', 'PUT', 'GET']);
  });

  test('in a circle end in a line', async () => {
    let self = '';
    self = await faulty((request, response) => response.writeHead(307, { location: `${self}${request.url}` }).end());
    const error = await failure(treeJson(connectTo([self])));
    expect(error).toMatchObject({ code: 'unreachable', message: expect.stringContaining('redirects more than 5 times') });
    expect(error.hint).toContain('leader');
  });

  test('to another scheme or to no address are refused', async () => {
    const elsewhere = await faulty((_, response) => response.writeHead(307, { location: 'ftp://127.0.0.1/v2/keys/' }).end());
    expect(await failure(treeJson(connectTo([elsewhere])))).toMatchObject({
      code: 'unreachable',
      message: expect.stringContaining('to ftp:'),
    });
    const nowhere = await faulty((_, response) => response.writeHead(307, { location: 'http://[' }).end());
    expect(await failure(treeJson(connectTo([nowhere])))).toMatchObject({
      code: 'unreachable',
      message: expect.stringContaining('no address'),
    });
  });
});

describe('what is no v2 API', () => {
  test.each(etcdVersions())('etcd $version without --enable-v2', async (etcd) => {
    const server = await startEtcd([], etcd);
    const error = await failure(treeJson(connectTo([server.endpoint])));
    expect(error).toMatchObject({ code: 'unreachable', message: `${server.endpoint} does not serve the v2 API (HTTP 404)` });
    expect(error.hint).toContain('--enable-v2');
  });

  test.each([
    ['a web page', 200, '<html>\n<body>Welcome</body>', 'not with the JSON of etcd\'s v2 API: "<html>"'],
    ['an empty answer', 200, '', 'nothing'],
    ['a gateway', 502, 'Bad Gateway', 'HTTP 502: "Bad Gateway"'],
    ['a proxy that wants a login', 403, 'Forbidden', 'refuses the credentials'],
  ])('%s', async (_, status, body, message) => {
    const error = await failure(treeJson(connectTo([await faulty((__, response) => response.writeHead(status).end(body))])));
    expect(error.message).toContain(message);
    expect(error.exit).toBe(10);
  });

  test('what is no HTTP', async () => {
    expect(await failure(treeJson(connectTo([await rawServer('SSH-2.0-OpenSSH_9.2\r\n')])))).toMatchObject({
      code: 'unreachable',
      message: expect.stringContaining('the answer is not HTTP'),
    });
  });
});

describe('an answer that does not come whole', () => {
  test.each([
    ['chunked', 'Transfer-Encoding: chunked\r\n\r\n14\r\n{"action":"get","nod\r\n'],
    ['by length', 'Content-Length: 5000\r\n\r\n{"action":"get"'],
    ['with no body', 'Content-Length: 5000\r\n\r\n'],
  ])('%s is told, and never hangs', async (_, rest) => {
    const endpoint = await rawServer(`HTTP/1.1 200 OK\r\nX-Etcd-Index: 7\r\n${rest}`);
    expect(await failure(treeJson(connectTo([endpoint])))).toMatchObject({
      code: 'unreachable',
      message: `${endpoint}: the connection was cut before the answer was whole`,
    });
  });

  test('is waited for no longer than the command timeout', async () => {
    const silent = await faulty(() => {});
    const quick = connectTo([silent], { commandTimeout: 100 });
    expect(await failure(quick.put(Buffer.from('/a'), { value: ROOT }))).toMatchObject({
      code: 'unreachable',
      message: `${silent}: no answer in time`,
      hint: expect.stringContaining('--command-timeout'),
    });
    const stalls = await faulty((_, response) => response.writeHead(200, ETCD_HEADERS).write(TREE.slice(0, 30)));
    expect(await failure(treeJson(connectTo([stalls], { commandTimeout: 100 })))).toMatchObject({ code: 'unreachable' });
  });

  test('is given up at once when the run is stopped', async () => {
    const stop = new AbortController();
    const stalls = await faulty((_, response) => response.writeHead(200, ETCD_HEADERS).write(TREE.slice(0, 30)));
    setTimeout(() => stop.abort(new FerryError('interrupted', 'interrupted')), 50);
    expect(await failure(treeJson(connectTo([stalls]), ROOT, stop.signal))).toMatchObject({ code: 'interrupted' });
  });
});

describe('one node', () => {
  test('is looked at without its children, also when it is hidden', async () => {
    const etcd = await startEtcd();
    const client = new V2Client(etcd.endpoint);
    await client.put('/dir/_hidden/file', 'v', '&ttl=100');
    await client.put('/dir/b', 'v');
    const cluster = connectTo([etcd.endpoint]);
    const path = Buffer.from('/dir/_hidden/file');
    const file = await cluster.get(path);
    expect(file).toMatchObject({ path, dir: false, value: Buffer.from('v') });
    expect(Math.abs(Number((file?.expiration as bigint) / 1_000_000n) - Date.now() - 100_000)).toBeLessThan(5000);
    expect(await cluster.get(Buffer.from('/dir'))).toMatchObject({ dir: true, createdIndex: file?.createdIndex, expiration: 0n });
    expect(await cluster.get(Buffer.from('/nowhere'))).toBeUndefined();
  });

  test('is written as asked, and refused when the store does not allow it', async () => {
    const etcd = await startEtcd();
    const cluster = connectTo([etcd.endpoint]);
    const [a, dir, value] = [Buffer.from('/a'), Buffer.from('/d'), Buffer.from('v')];
    expect(await cluster.put(a, { value, prevExist: false })).toBeUndefined();
    expect(await cluster.put(a, { value, prevExist: false })).toMatchObject({ errorCode: 105 });
    const { modifiedIndex } = (await cluster.get(a)) as { modifiedIndex: bigint };
    expect(await cluster.put(a, { value, prevIndex: modifiedIndex + 1n })).toMatchObject({ errorCode: 101 });
    expect(await cluster.put(a, { value, ttl: 50n, prevIndex: modifiedIndex })).toBeUndefined();
    expect((await cluster.get(a))?.expiration).toBeGreaterThan(0n);
    expect(await cluster.put(Buffer.from('/a/b'), { value })).toMatchObject({ errorCode: 104 });
    expect(await cluster.put(dir, { dir: true, ttl: 50n })).toBeUndefined();
    expect(await cluster.put(dir, { value })).toMatchObject({ errorCode: 102 });
    expect(await cluster.put(Buffer.from('/d/e'), { value })).toBeUndefined();
    expect(await cluster.remove(dir, { dir: true })).toMatchObject({ errorCode: 108 });
    expect(await cluster.version()).toBe(etcd.etcd.version);
  });
});

describe('a node whose name is longer than the first line etcd takes on a connection', () => {
  const long = (part: string, length: number): Buffer => Buffer.from(`/long/${part.repeat(length / part.length)}`);

  test('is written, looked at, listed, watched and deleted, on fresh connections, many at once', async () => {
    const { endpoint } = await startEtcd();
    const names = ['x', 'é', `${'d'.repeat(499)}/`].flatMap((part) => [4_000, 4_500, 20_000].map((length) => long(part, length)));
    const paths = names.flatMap((name) => [Buffer.concat([name, Buffer.from('1')]), Buffer.concat([name, Buffer.from('2')])]);
    const value = Buffer.from('v');
    const writer = connectTo([endpoint]);
    await Promise.all(paths.map((path) => writer.put(path, { value }).then((refusal) => expect(refusal).toBeUndefined())));
    const reader = connectTo([endpoint]);
    const found = await Promise.all(paths.map((path) => reader.get(path)));
    expect(found.every((node, i) => node?.path.equals(paths[i] as Buffer) === true)).toBe(true);
    const path = paths[0] as Buffer;
    expect(await treeJson(connectTo([endpoint]), Buffer.from(path))).toContain('"value":"v"');
    const index = (found[0] as TreeNode).modifiedIndex;
    expect(await connectTo([endpoint]).watch(path, index, 2000)).toMatchObject({ kind: 'event', event: { index } });
    expect(await connectTo([endpoint]).remove(path, { prevIndex: index })).toBeUndefined();
  });

  test('is refused in a line where it is longer than any etcd takes', async () => {
    const { endpoint } = await startEtcd();
    const error = await failure(connectTo([endpoint]).put(long('x', 1_200_000), { value: Buffer.from('v') }));
    expect(error).toMatchObject({ code: 'failed', message: expect.stringMatching(/longer than the server takes \(HTTP 431\)/) });
  });

  test('fails as any other where the server takes no connection, or answers with something else', async () => {
    const error = await failure(connectTo([`http://127.0.0.1:${await freePort()}`]).get(long('x', 5000)));
    expect(error).toMatchObject({ code: 'unreachable', message: expect.stringContaining('connection refused') });
    for (const answer of ['', 'x'.repeat(20_000)]) {
      expect((await failure(connectTo([await rawServer(answer)]).get(long('x', 5000)))).code).toBe('unreachable');
    }
  });
});

test('basic auth of v2: refused without, accepted with', async () => {
  const etcd = await startEtcd();
  const open = new V2Client(etcd.endpoint);
  await open.put('/secret/a', '1');
  await open.send('PUT', '/auth/users/root', '{"user":"root","password":"pass:word"}', 'application/json');
  await open.send('PUT', '/auth/enable');
  const root = new V2Client(etcd.endpoint, 'root:pass:word');
  const revoke = { role: 'guest', revoke: { kv: { read: ['/*', '*'], write: ['/*', '*'] } } };
  expect((await root.send('PUT', '/auth/roles/guest', JSON.stringify(revoke), 'application/json')).status).toBe(200);

  for (const credentials of [{}, { user: 'root', password: 'wrong' }, { user: 'nobody', password: 'pass:word' }]) {
    const error = await failure(treeJson(connectTo([etcd.endpoint], credentials)));
    expect(error).toMatchObject({ code: 'unauthorized', message: expect.stringContaining('Insufficient credentials') });
    expect(error.message + error.hint).not.toContain('pass:word');
  }
  expect(await treeJson(connectTo([etcd.endpoint], { user: 'root', password: 'pass:word' }))).toContain('/secret/a');
});

test('the address alone is shown, without credentials or path', () => {
  expect(connectTo(['http://u:p@127.0.0.1:2379/x', 'http://[::1]:4001']).location).toBe('http://127.0.0.1:2379,http://[::1]:4001');
});

describe('TLS', () => {
  test('is checked both ways, unless told not to', async () => {
    using authority = new Authority();
    const [server, client] = [authority.issue(), authority.issue({ commonName: 'somebody' })];
    const etcd = await EtcdServer.start(etcdWithV2(), {
      scheme: 'https',
      args: [
        ...['--enable-v2', '--cert-file', server.certFile, '--key-file', server.keyFile],
        ...['--client-cert-auth', '--trusted-ca-file', authority.caFile],
      ],
    });
    cleanups.push(() => etcd.stop());
    const mutual = { cert: client.cert, key: client.key };
    const read = (tls: TlsOptions) => treeJson(connectTo([etcd.endpoint], { tls }));

    expect(await read({ ca: authority.ca, ...mutual })).toContain('"action":"get"');
    expect(await read({ insecureSkipVerify: true, ...mutual })).toContain('"action":"get"');
    expect(await failure(read(mutual))).toMatchObject({
      code: 'unreachable',
      message: expect.stringContaining('certificate is not trusted'),
    });
    const refused = await failure(read({ ca: authority.ca }));
    expect(refused.exit).toBe(10);
    expect(refused.hint).toContain('--cert');
    const plain = await failure(treeJson(connectTo([etcd.endpoint.replace('https', 'http')])));
    expect(plain.exit).toBe(10);
  });

  test('is not what an http server speaks', async () => {
    const endpoint = (await faulty(etcdLike)).replace('http:', 'https:');
    expect(await failure(treeJson(connectTo([endpoint])))).toMatchObject({
      code: 'unreachable',
      hint: expect.stringContaining('http or https'),
    });
  });
});
