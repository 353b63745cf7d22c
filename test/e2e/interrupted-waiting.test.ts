import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { constants } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { quietRun } from '../../src/model/run.js';
import { etcdferry } from '../support/cli.js';
import { newRepository } from '../support/repository.js';
import { s3Environment } from '../support/s3-server.js';
import { muteServer } from '../support/silent-server.js';
import { temporaryDirectory } from '../support/temp.js';

const ARCHIVE = join(import.meta.dirname, '../../testdata/archive/v1-key.tar');
const directory = temporaryDirectory();
const at = (name: string): string => join(directory, name);
const SIGNALS = [
  ['SIGTERM', 143],
  ['SIGINT', 130],
] as const;
let count = 0;

/** Runs until the run waits for something, sends one of the two signals in turn, and expects the run to end by it. */
async function endsWaiting(args: readonly string[], waits: () => Promise<void>): Promise<void> {
  const [signal, status] = SIGNALS[++count % 2] as (typeof SIGNALS)[number];
  let sent = 0;
  const result = await etcdferry(args, {
    env: s3Environment(),
    started: async (child) => {
      await waits();
      sent = Date.now();
      child.kill(signal);
    },
  });
  expect(Date.now() - sent).toBeLessThan(10_000);
  expect({ exit: result.exit, stderr: result.stderr }).toEqual({
    exit: status,
    stderr: expect.stringMatching(/(interrupted|terminated); nothing/),
  });
}

describe('a run that waits for a bucket which says nothing ends with a signal', () => {
  mkdirSync(at('copied'));
  test.each([
    ['verify', ['verify', 's3://bucket/a.tar']],
    ['verify of a repository', ['verify', 's3://bucket/r']],
    ['ls', ['ls', 's3://bucket/r']],
    ['list', ['list', 's3://bucket/r']],
    ['prune', ['prune', 's3://bucket/r', '--keep-last', '1']],
    ['check-age', ['check-age', 's3://bucket/r', '--max-age', '1d']],
    ['copy', ['copy', 's3://bucket/r', at('copied')]],
    ['restore', ['restore', '--from', 's3://bucket/a.tar', '--to', at('restored.db')]],
    ['backup to an object', ['backup', '--from', ARCHIVE, '--to', 's3://bucket/a.tar']],
    ['backup to a repository', ['backup', '--from', ARCHIVE, '--to', 's3://bucket/r']],
  ])('%s', async (_, args) => {
    await using server = await muteServer();
    await endsWaiting([...args, '--s3-endpoint', server.endpoint], () => server.tried());
    expect(readdirSync(directory).filter((name) => name.startsWith('restored'))).toEqual([]);
  });
});

test('a run that waits for a healthcheck ends with a signal, and makes no archive', async () => {
  await using server = await muteServer();
  await endsWaiting(['backup', '--from', ARCHIVE, '--to', at('new.tar'), '--healthcheck', `${server.endpoint}/x`], () => server.tried());
  expect(readdirSync(directory)).not.toContain('new.tar');
});

test('a run that waits for a lock ends with a signal', async () => {
  const repository = await newRepository(at('locked'));
  await using _lock = await repository.lock({ kind: 'exclusive' }, { doing: 'prune' }, quietRun());
  const locks = () => readdirSync(at('locked/.etcdferry/locks')).length;
  await endsWaiting(['backup', '--from', ARCHIVE, '--to', at('locked'), '--wait', '10m'], async () => {
    await expect.poll(locks, { timeout: 60_000, interval: 2 }).toBe(2);
  });
});

test('a run that waits for a KMS plugin ends with a signal', async () => {
  const socket = at('kms.sock');
  const sockets: Socket[] = [];
  const plugin = createServer((one) => sockets.push(one.on('error', () => {}))).listen(socket);
  await once(plugin, 'listening');
  const kms = { kms: { name: 'p', endpoint: `unix://${socket}`, timeout: '10m' } };
  writeFileSync(
    at('encryption.json'),
    JSON.stringify({ kind: 'EncryptionConfiguration', resources: [{ resources: ['secrets'], providers: [kms] }] }),
  );
  writeFileSync(at('value'), Buffer.concat([Buffer.from('k8s:enc:kms:v1:p:'), Buffer.from([0, 4]), Buffer.alloc(52, 1)]));
  try {
    const args = ['decode', at('value'), '--key', '/registry/secrets/default/a', '--encryption-config', at('encryption.json')];
    await endsWaiting(args, async () => {
      await expect.poll(() => sockets.length, { timeout: 60_000 }).toBeGreaterThan(0);
    });
  } finally {
    for (const one of sockets) one.destroy();
    plugin.close();
  }
});

test.each(SIGNALS)('%s ends work that lets nothing else run until it is done', async (signal) => {
  const lines = Array.from({ length: 200_000 }, (_, i) => `  key${i}: "value ${i}"`);
  writeFileSync(
    at('large.yaml'),
    ['apiVersion: v1', 'kind: ConfigMap', 'metadata: { name: a, namespace: b }', 'data:', ...lines, ''].join('\n'),
  );
  const result = await etcdferry(['encode', at('large.yaml')], {
    started: async ({ pid }) => {
      // The handlers are there, and then they are not: the work has begun.
      for (const isThere of [true, false])
        await expect.poll(() => hasHandler(pid as number, signal), { timeout: 60_000, interval: 2 }).toBe(isThere);
      expect(process.kill(pid as number, signal)).toBe(true);
    },
  });
  expect({ signal: result.signal, stdout: result.stdout.length }).toEqual({ signal, stdout: 0 });
});

/** Whether a process has a handler of its own for a signal (proc(5), SigCgt). */
function hasHandler(pid: number, signal: 'SIGTERM' | 'SIGINT'): boolean {
  const [, caught = '0'] = /^SigCgt:\s*([0-9a-f]+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return (BigInt(`0x${caught}`) & (1n << BigInt(constants.signals[signal] - 1))) !== 0n;
}
