import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { expect, test } from 'vitest';
import { connectV3 } from '../../src/cluster/v3-connect.js';
import { clusterOptions } from '../support/cluster.js';
import { EtcdStandIn, Refusal } from '../support/etcd-stand-in.js';

const BODY = '{"etcdserver":"3.6.11","etcdcluster":"3.6.0"}';
const VERSION = `HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: ${BODY.length}\r\n\r\n${BODY}`;

/** As etcd does, answers gRPC and plain HTTP at the same port. */
async function withHttp(port: number): Promise<{ readonly endpoint: string; asked: string[] } & Disposable> {
  const asked: string[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket.on('error', () => {}));
    socket.once('data', (first) => {
      if (first.toString('latin1', 0, 3) !== 'PRI') {
        asked.push(first.toString('latin1'));
        socket.write(VERSION);
        return;
      }
      const on = connect(port, '127.0.0.1').on('error', () => socket.destroy());
      sockets.add(on);
      on.write(first);
      socket.pipe(on).pipe(socket);
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    endpoint: `http://127.0.0.1:${(server.address() as { port: number }).port}`,
    asked,
    [Symbol.dispose]: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

test('who may not ask for the status is told the version all the same, without a password being sent for it', async () => {
  await using etcd = await EtcdStandIn.start({}, { Status: new Refusal(), Authenticate: { token: 't' } });
  using front = await withHttp(etcd.port);
  const cluster = await connectV3(clusterOptions(front.endpoint, { user: 'reader', password: 'secret' }));
  expect(await cluster.about()).toEqual({ clusterId: 7n, memberId: 2n, revision: 100n, version: '3.6.11' });
  expect(front.asked).toEqual([expect.stringMatching(/^GET \/version /)]);
  expect(front.asked[0]).not.toMatch(/authorization/i);
  await cluster.close();
});

test('where nobody tells the version, it is not known', async () => {
  await using etcd = await EtcdStandIn.start({}, { Status: new Refusal() });
  const cluster = await connectV3(clusterOptions(etcd.endpoint));
  expect(await cluster.about()).toEqual({ clusterId: 7n, memberId: 2n, revision: 100n });
  await cluster.close();
});
