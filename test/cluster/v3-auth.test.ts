import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { V3Cluster } from '../../src/cluster/v3.js';
import { connectV3 } from '../../src/cluster/v3-connect.js';
import { decodeRangeResponse } from '../../src/wire/rpc.js';
import { encodeRange, encodeTxn } from '../../src/wire/rpc-request.js';
import { Authority } from '../support/certificates.js';
import { clusterOptions, failure } from '../support/cluster.js';
import { EtcdServer, etcdVersions, newestEtcd } from '../support/etcd.js';

const ROOT = { user: 'root', password: 'root pässword' };
const READER = { user: 'reader', password: 'r' };
const APP = encodeRange({ key: Buffer.from('app/'), rangeEnd: Buffer.from('app0') });

/** Users, roles, and authentication on, all by our own calls; passwords by etcdctl. */
async function enableAuth(server: EtcdServer): Promise<void> {
  const cluster = await connectV3(clusterOptions(server.endpoint));
  await server.etcdctl('user', 'add', `${ROOT.user}:${ROOT.password}`);
  await server.etcdctl('user', 'add', `${READER.user}:${READER.password}`);
  await cluster.roleAdd('root').catch(() => {});
  await cluster.roleAdd('app');
  await cluster.rolePermit('app', { type: 'read', key: Buffer.from('app/'), rangeEnd: Buffer.from('app0') });
  await cluster.rolePermit('app', { type: 'readwrite', key: Buffer.from([0xff, 0]), rangeEnd: Buffer.alloc(0) });
  await cluster.userGrant('root', 'root');
  await cluster.userGrant('reader', 'app');
  const put = { kind: 'put' as const, key: Buffer.from('app/1'), value: Buffer.from('x'), lease: 0n };
  await cluster.call('KV/Txn', encodeTxn({ compares: [], success: [put], failure: [] }));
  await cluster.close();
  await server.etcdctl('auth', 'enable');
}

for (const etcd of etcdVersions()) {
  describe(`etcd ${etcd.version} with authentication on`, () => {
    let server: EtcdServer;
    let root: V3Cluster;
    let reader: V3Cluster;

    beforeAll(async () => {
      // Two seconds, for the test of a token that expires; 3.4 has no such flag.
      server = await EtcdServer.start(etcd, etcd.minor === '3.4' ? {} : { args: ['--auth-token-ttl', '2'] });
      await enableAuth(server);
      root = await connectV3(clusterOptions(server.endpoint, ROOT));
      reader = await connectV3(clusterOptions(server.endpoint, READER));
    });
    afterAll(async () => {
      await Promise.all([root?.close(), reader?.close()]);
      await server.stop();
    });

    test('a user reads what a role lets it, and no more', async () => {
      expect(decodeRangeResponse(await reader.call('KV/Range', APP)).records.count).toBe(1);
      const all = encodeRange({ key: Buffer.from([0]), rangeEnd: Buffer.from([0]) });
      const denied = await failure(reader.call('KV/Range', all));
      expect(denied).toMatchObject({ code: 'unauthorized', exit: 10, message: `${server.endpoint}: permission denied` });
    });

    test('users and roles are listed for root, and undefined for others', async () => {
      const data = await root.authData();
      expect(data?.enabled).toBe(true);
      expect(data?.users.map(({ name, roles }) => [name, roles])).toEqual([
        ['reader', ['app']],
        ['root', ['root']],
      ]);
      expect(data?.roles.find(({ name }) => name === 'app')?.permissions).toEqual([
        { type: 'read', key: Buffer.from('app/'), rangeEnd: Buffer.from('app0') },
        { type: 'readwrite', key: Buffer.from([0xff, 0]), rangeEnd: Buffer.alloc(0) },
      ]);
      expect(await reader.authData()).toBeUndefined();
    });

    test('a user added has no password that anybody could know', async () => {
      expect(await root.userAdd('new', { passwordHash: Buffer.from('$2a$10$x') })).toBe(false);
      expect(await root.userAdd('certificate-only', { noPassword: true })).toBe(true);
      for (const user of ['new', 'certificate-only']) {
        const error = await failure(connectV3(clusterOptions(server.endpoint, { user, password: '' })));
        expect(error).toMatchObject({ code: 'unauthorized', message: `${server.endpoint}: the user has no password` });
      }
      expect((await failure(root.userAdd('new', {}))).code).toBe('in-the-way');
    });

    test('a wrong password, an unknown user and no user are refused with one clear line', async () => {
      for (const user of ['root', 'nobody']) {
        const error = await failure(connectV3(clusterOptions(server.endpoint, { user, password: 'wrong' })));
        expect(error).toMatchObject({ code: 'unauthorized', message: `${server.endpoint}: the user or its password is wrong` });
      }
      const nobody = await connectV3(clusterOptions(server.endpoint));
      const error = await failure(nobody.call('KV/Range', APP));
      expect(error).toMatchObject({ code: 'unauthorized', message: `${server.endpoint}: authentication is on, and no user was given` });
      await nobody.close();
    });

    test('a token the server no longer knows is renewed under calls in flight', async () => {
      await reader.call('KV/Range', APP);
      if (etcd.minor === '3.4') {
        // Simple tokens live in the server's memory: a restart forgets them.
        await server.kill();
        const again = await EtcdServer.start(etcd, { dataDir: server.dataDir, clientPort: server.port });
        try {
          await threeReads(reader);
        } finally {
          await again.stop();
        }
      } else {
        await new Promise((resolve) => setTimeout(resolve, 3500));
        await threeReads(reader);
      }
    });
  });
}

async function threeReads(cluster: V3Cluster): Promise<void> {
  const answers = await Promise.all([1, 2, 3].map(() => cluster.call('KV/Range', APP)));
  expect(answers.map((answer) => decodeRangeResponse(answer).records.count)).toEqual([1, 1, 1]);
}

test('a user for a cluster without authentication is no error, as with etcdctl', async () => {
  await using server = await EtcdServer.start(newestEtcd());
  const cluster = await connectV3(clusterOptions(server.endpoint, ROOT));
  expect(decodeRangeResponse(await cluster.call('KV/Range', APP)).count).toBe(0n);
  expect((await cluster.authData())?.enabled).toBe(false);
  await cluster.close();
});

test("a client certificate's common name is the user", async () => {
  using authority = new Authority();
  const certificate = authority.issue();
  const args = [
    '--cert-file',
    certificate.certFile,
    '--key-file',
    certificate.keyFile,
    '--client-cert-auth',
    '--trusted-ca-file',
    authority.caFile,
  ];
  await using server = await EtcdServer.start(newestEtcd(), { scheme: 'https', args });
  const { cert, key } = authority.issue({ commonName: 'root' });
  const cluster = await connectV3(clusterOptions(server.endpoint, { tls: { ca: authority.ca, cert, key } }));
  await cluster.userAdd('root', { noPassword: true });
  await cluster.userGrant('root', 'root');
  const { certFile, keyFile } = authority.issue({ commonName: 'root' });
  await server.etcdctl('--cacert', authority.caFile, '--cert', certFile, '--key', keyFile, 'auth', 'enable');
  expect(decodeRangeResponse(await cluster.call('KV/Range', APP)).count).toBe(0n);
  expect((await cluster.authData())?.enabled).toBe(true);
  await cluster.close();
});
