import { createSecureServer } from 'node:http2';
import { connect, createServer, type Server } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { TlsOptions } from '../../src/cluster/options.js';
import { connectV3 } from '../../src/cluster/v3-connect.js';
import type { FerryError } from '../../src/errors.js';
import { Authority, type Certificate } from '../support/certificates.js';
import { clusterOptions, failure } from '../support/cluster.js';
import { type EtcdBinaries, EtcdServer, etcdVersions, newestEtcd } from '../support/etcd.js';

let authority: Authority;
let other: Authority;

beforeAll(() => {
  authority = new Authority();
  other = new Authority();
});
afterAll(() => {
  authority[Symbol.dispose]();
  other[Symbol.dispose]();
});

function startTls(etcd: EtcdBinaries, certificate: Certificate, ...args: string[]): Promise<EtcdServer> {
  return EtcdServer.start(etcd, {
    scheme: 'https',
    args: ['--cert-file', certificate.certFile, '--key-file', certificate.keyFile, ...args],
  });
}

async function version(endpoint: string, tls: TlsOptions): Promise<string> {
  const cluster = await connectV3(clusterOptions(endpoint, { tls }));
  try {
    return (await cluster.status()).version;
  } finally {
    await cluster.close();
  }
}

async function refusal(endpoint: string, tls: TlsOptions): Promise<FerryError> {
  const started = Date.now();
  const error = await failure(version(endpoint, tls));
  expect(Date.now() - started).toBeLessThan(6000);
  expect(error.code).toBe('unreachable');
  expect(error.exit).toBe(10);
  expect(error.message).toContain(endpoint);
  expect(error.message).not.toContain('\n');
  expect(error.hint).toBeDefined();
  return error;
}

for (const etcd of etcdVersions()) {
  describe(`etcd ${etcd.version}`, () => {
    test('a server certificate by our authority; another authority; none; no check', async () => {
      await using server = await startTls(etcd, authority.issue());
      expect(await version(server.endpoint, { ca: authority.ca })).toBe(etcd.version);
      expect((await refusal(server.endpoint, { ca: other.ca })).message).toContain('not signed by a trusted authority');
      expect((await refusal(server.endpoint, {})).message).toContain('not signed by a trusted authority');
      expect(await version(server.endpoint, { insecureSkipVerify: true })).toBe(etcd.version);
      expect((await refusal(server.endpoint.replace('https', 'http'), {})).hint).toContain('https://');
    });

    test('client certificates: the right one, none, one of another authority', async () => {
      await using server = await startTls(etcd, authority.issue(), '--client-cert-auth', '--trusted-ca-file', authority.caFile);
      const { cert, key } = authority.issue({ commonName: 'someone' });
      expect(await version(server.endpoint, { ca: authority.ca, cert, key })).toBe(etcd.version);
      expect((await refusal(server.endpoint, { ca: authority.ca })).hint).toContain('--cert');
      const foreign = other.issue();
      expect((await refusal(server.endpoint, { ca: authority.ca, cert: foreign.cert, key: foreign.key })).hint).toContain('--cert');
    });
  });
}

describe('certificates that cannot be used', () => {
  test('an expired one', async () => {
    const { cert, key } = authority.issue({ expired: true });
    await using server = await tlsServer(cert, key);
    expect((await refusal(server.endpoint, { ca: authority.ca })).message).toContain('has expired');
  });

  test('one for another name', async () => {
    const { cert, key } = authority.issue({ names: 'DNS:etcd.example' });
    await using server = await tlsServer(cert, key);
    expect((await refusal(server.endpoint, { ca: authority.ca })).message).toContain('another name');
  });

  test('https to a plain port', async () => {
    await using server = await EtcdServer.start(newestEtcd());
    expect((await refusal(server.endpoint.replace('http', 'https'), { ca: authority.ca })).hint).toContain('http://');
  });

  test('a key that is not PEM is a usage error', async () => {
    const { cert } = authority.issue();
    const error = await failure(version('https://127.0.0.1:1', { cert, key: Buffer.from('no key') }));
    expect(error.code).toBe('usage');
  });
});

describe('addresses', () => {
  test('a server that takes connections and says nothing: unreachable when the dial timeout ends', async () => {
    const server: Server = createServer(() => {});
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as { port: number };
    const started = Date.now();
    const error = await failure(connectV3(clusterOptions(`http://127.0.0.1:${port}`, { dialTimeout: 700 })));
    expect(error).toMatchObject({ code: 'unreachable', message: `http://127.0.0.1:${port}: the connection timed out` });
    expect(Date.now() - started).toBeGreaterThan(600);
    expect(Date.now() - started).toBeLessThan(5000);
    server.close();
    connect(port, '127.0.0.1').on('error', () => {});
  });

  test('a name that does not resolve', async () => {
    const error = await failure(connectV3(clusterOptions('http://no-such-host.invalid:2379')));
    expect(error).toMatchObject({ code: 'unreachable', message: 'http://no-such-host.invalid:2379: the host name cannot be resolved' });
  });

  test('what is no http address, and mixed schemes, are usage errors', async () => {
    for (const endpoints of [['127.0.0.1:2379'], ['unix:///x'], ['http://a:1', 'https://b:1'], []]) {
      expect((await failure(connectV3(clusterOptions(endpoints)))).code).toBe('usage');
    }
  });
});

/** A TLS server that speaks HTTP/2; etcd itself will not start with a certificate that has expired. */
async function tlsServer(cert: Buffer, key: Buffer): Promise<AsyncDisposable & { readonly endpoint: string }> {
  const server = createSecureServer({ cert, key });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  return {
    endpoint: `https://127.0.0.1:${port}`,
    [Symbol.asyncDispose]: () => new Promise((resolve) => server.close(() => resolve())),
  };
}
