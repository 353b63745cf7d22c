import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { connectV2 } from '../../src/cluster/v2.js';
import { connectV3 } from '../../src/cluster/v3-connect.js';
import { FerryError } from '../../src/errors.js';
import { clusterOptions } from '../support/cluster.js';
import { fullServer, muteServer } from '../support/silent-server.js';

/** So long nobody would wait: what ends sooner was ended. */
const TIMEOUT = 60_000;
const SOON = 5_000;

describe.each([
  ['takes connections and says nothing', muteServer],
  ['takes no connections', fullServer],
])('connecting to a server that %s is ended at once by the signal', (_, start) => {
  const reason = new FerryError('interrupted', 'stop');
  const options = (endpoint: string) => clusterOptions(endpoint, { dialTimeout: TIMEOUT, commandTimeout: TIMEOUT });

  async function expectEnded(attempt: Promise<unknown>, tried: Promise<void>, stop: AbortController): Promise<void> {
    const ended = attempt.then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    await tried;
    const began = Date.now();
    stop.abort(reason);
    expect(await Promise.race([ended, sleep(SOON, 'still connecting')])).toBe(reason);
    expect(Date.now() - began).toBeLessThan(SOON);
  }

  test('v3', async () => {
    await using server = await start();
    const stop = new AbortController();
    await expectEnded(connectV3(options(server.endpoint), stop.signal), server.tried(), stop);
  });

  test('v3 with a user, and other endpoints to try', async () => {
    await using server = await start();
    const stop = new AbortController();
    const endpoints = ['http://127.0.0.1:1', server.endpoint];
    const all = { ...options(server.endpoint), endpoints, user: 'root', password: 'x' };
    await expectEnded(connectV3(all, stop.signal), server.tried(), stop);
  });

  test('v2', async () => {
    await using server = await start();
    const stop = new AbortController();
    const cluster = connectV2(options(server.endpoint));
    await expectEnded(cluster.get(Buffer.from('/a'), stop.signal), server.tried(), stop);
    await cluster.close();
  });
});
