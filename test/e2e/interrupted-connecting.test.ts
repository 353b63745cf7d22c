import { describe, expect, test } from 'vitest';
import { etcdferry } from '../support/cli.js';
import { fullServer, muteServer } from '../support/silent-server.js';

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
