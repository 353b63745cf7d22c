import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { etcdferry } from '../support/cli.js';
import { EtcdStandIn } from '../support/etcd-stand-in.js';
import { fullServer, muteServer } from '../support/silent-server.js';
import { temporaryDirectory } from '../support/temp.js';

describe.each([
  ['takes connections and says nothing', muteServer],
  ['takes no connections', fullServer],
])('a run that waits for a server that %s', (_, start) => {
  test.each([
    ['v3', 'SIGINT', 130],
    ['v3', 'SIGTERM', 143],
    ['v2', 'SIGINT', 130],
    ['v2', 'SIGTERM', 143],
  ] as const)('%s ends at once with %s', async (api, signal, exit) => {
    await using server = await start();
    let sent = 0;
    const args = ['ls', server.endpoint, '--api', api, '--dial-timeout', '1m'];
    const result = await etcdferry(args, {
      started: async (child) => {
        await server.tried();
        sent = Date.now();
        child.kill(signal);
      },
    });
    expect(Date.now() - sent).toBeLessThan(10_000);
    expect(result.exit).toBe(exit);
    expect(result.stderr).toMatch(/^etcdferry: (interrupted|terminated); nothing half-written/);
  });
});

test('a backup whose snapshot stalls in the middle ends at once with SIGTERM, and leaves nothing', async () => {
  const dir = temporaryDirectory();
  await using server = await EtcdStandIn.start({}, {}, (stream) => stream.write(Buffer.from([0x1a, 3, 1, 2, 3])));
  let sent = 0;
  const result = await etcdferry(['backup', '--from', server.endpoint, '--via', 'snapshot', '--to', join(dir, 'x.tar'), '--tmp-dir', dir], {
    started: async (child) => {
      while (server.count('Snapshot') === 0) await sleep(20);
      sent = Date.now();
      child.kill('SIGTERM');
    },
  });
  expect(Date.now() - sent).toBeLessThan(10_000);
  expect(result.exit).toBe(143);
  expect(readdirSync(dir)).toEqual([]);
});

test('a connection that was given up in time keeps no run from its end', async () => {
  await using server = await fullServer();
  let tried = 0;
  const result = await etcdferry(['ls', server.endpoint, '--dial-timeout', '1s'], {
    started: async () => {
      await server.tried();
      tried = Date.now();
    },
  });
  expect(Date.now() - tried).toBeLessThan(20_000);
  expect(result).toMatchObject({ exit: 10, stderr: expect.stringMatching(/the connection timed out/) });
});
