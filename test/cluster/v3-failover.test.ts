import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { connectV3 } from '../../src/cluster/v3-connect.js';
import { reasonOf } from '../../src/cluster/v3-errors.js';
import { decodeRangeResponse } from '../../src/wire/rpc.js';
import { encodeRange, encodeTxn } from '../../src/wire/rpc-request.js';
import { clusterOptions, failure } from '../support/cluster.js';
import { EtcdServer, newestEtcd } from '../support/etcd.js';
import { TcpProxy } from '../support/tcp-proxy.js';

const RANGE = encodeRange({ key: Buffer.from([0]), rangeEnd: Buffer.from([0]) });
const PUT = encodeTxn({ compares: [], success: [{ kind: 'put', key: Buffer.from('k'), value: Buffer.from('v'), lease: 0n }], failure: [] });

describe('fail-over between endpoints', () => {
  let server: EtcdServer;
  beforeAll(async () => {
    server = await EtcdServer.start(newestEtcd());
  });
  afterAll(() => server.stop());

  test('a read goes on at the next endpoint when its own dies under it', async () => {
    await using first = await TcpProxy.start(server.port, (proxy) => void (armed && proxy.die()));
    await using second = await TcpProxy.start(server.port);
    let armed = false;
    const cluster = await connectV3(clusterOptions([first.endpoint, second.endpoint]));
    expect([first.accepted > 0, second.accepted]).toEqual([true, 0]);
    armed = true;
    expect(decodeRangeResponse(await cluster.call('KV/Range', RANGE)).header.revision).toBeGreaterThan(0n);
    expect(second.accepted).toBeGreaterThan(0);
    // The dead one is remembered: no more tries for a while.
    const before = Date.now();
    for (let i = 0; i < 20; i++) await cluster.call('KV/Range', RANGE);
    expect(Date.now() - before).toBeLessThan(4000);
    await cluster.close();
  });

  test('a write whose answer is lost is not sent again, though there is another endpoint', async () => {
    await using first = await TcpProxy.start(server.port, (proxy) => void (armed && proxy.cut()));
    await using second = await TcpProxy.start(server.port);
    let armed = false;
    const cluster = await connectV3(clusterOptions([first.endpoint, second.endpoint]));
    const version = async (): Promise<string> =>
      server.etcdctl('get', 'k', '-w', 'fields').then((out) => /"Version" : (\d+)/.exec(out)?.[1] ?? '0');
    armed = true;
    const lost = await failure(cluster.call('KV/Txn', PUT));
    expect([lost.code, reasonOf(lost)]).toEqual(['unreachable', 'outcome-unknown']);
    expect(await version()).toBe('1');
    await cluster.close();
  });

  test('a write that finds its endpoint gone before it is sent goes to the next', async () => {
    await using first = await TcpProxy.start(server.port);
    await using second = await TcpProxy.start(server.port);
    const cluster = await connectV3(clusterOptions([first.endpoint, second.endpoint]));
    first.die();
    await new Promise((resolve) => setTimeout(resolve, 100));
    await cluster.call('KV/Txn', PUT);
    expect(second.accepted).toBeGreaterThan(0);
    await cluster.close();
  });

  test('a server that stalls: the call ends at the command timeout; with another endpoint it goes on there', async () => {
    await using first = await TcpProxy.start(server.port);
    const alone = await connectV3(clusterOptions(first.endpoint, { commandTimeout: 400 }));
    const both = await connectV3(clusterOptions([first.endpoint, server.endpoint], { commandTimeout: 400 }));
    first.stall();
    const started = Date.now();
    const error = await failure(alone.call('KV/Range', RANGE));
    expect(error).toMatchObject({ code: 'unreachable', message: `${first.endpoint}: no answer in time` });
    expect(reasonOf(error)).toBe('timed-out');
    expect(Date.now() - started).toBeGreaterThan(380);
    expect(Date.now() - started).toBeLessThan(4500);
    await both.call('KV/Range', RANGE);
    await Promise.all([alone.close(), both.close()]);
  });

  test('a single member that restarts is waited for, for as long as the dial timeout', async () => {
    const own = await EtcdServer.start(newestEtcd());
    const cluster = await connectV3(clusterOptions(own.endpoint, { dialTimeout: 5000 }));
    await own.kill();
    const reading = cluster.call('KV/Range', RANGE);
    const again = await EtcdServer.start(newestEtcd(), { dataDir: own.dataDir, clientPort: own.port });
    expect(decodeRangeResponse(await reading).header.revision).toBeGreaterThan(0n);
    await cluster.close();
    await again.kill('SIGKILL');
    await own.stop();
  });

  test('where all endpoints are dead, all are named', async () => {
    const error = await failure(connectV3(clusterOptions(['http://127.0.0.1:1', 'http://127.0.0.1:2'])));
    expect(error.code).toBe('unreachable');
    expect(error.message).toContain('http://127.0.0.1:1, http://127.0.0.1:2');
  });
});
