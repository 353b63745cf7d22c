import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { cleanEnvironment, EtcdServer, etcdWithV2, newestEtcd } from '../support/etcd.js';
import { load } from '../support/load.js';
import { temporaryDirectory } from '../support/temp.js';

const ROOT = join(import.meta.dirname, '../..');
const directory = temporaryDirectory();

/** The README's ```sh blocks, as written. */
function examples(): string[] {
  const text = readFileSync(join(ROOT, 'README.md'), 'utf8');
  return [...text.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map((match) => match[1] as string);
}

test('every example of the README works, run as written, one after the other', { timeout: 240_000 }, async () => {
  await using server = await EtcdServer.start(newestEtcd());
  await using old = await EtcdServer.start(etcdWithV2(), { args: ['--enable-v2'] });
  await old.etcdctl2('set', '/bar/this', 'that');
  const names = ['pods/default/a', 'secrets/default/token', 'ranges/servicenodeports'];
  await load(
    server.endpoint,
    names.map((name) => ({ key: Buffer.from(`/registry/${name}`), value: Buffer.from(name) })),
  );
  mkdirSync(join(directory, 'bin'));
  symlinkSync(join(ROOT, 'bin/etcdferry.js'), join(directory, 'bin/etcdferry'));
  const env = {
    ...cleanEnvironment(),
    PATH: `${join(directory, 'bin')}:${join(ROOT, '.cache/tools')}:${newestEtcd().dir}:${process.env.PATH}`,
  };
  const blocks = examples();
  expect(blocks.length).toBeGreaterThan(0);
  for (const block of blocks) {
    const script = block.replaceAll('http://127.0.0.1:2379', server.endpoint).replaceAll('http://127.0.0.1:4001', old.endpoint);
    const run = promisify(execFile)('bash', ['-euo', 'pipefail', '-c', script], { cwd: directory, env });
    await expect(
      run.then(
        () => 'done',
        (failed: { stderr: string }) => failed.stderr,
      ),
      block,
    ).resolves.toBe('done');
  }
  expect(readFileSync(join(directory, 'value'), 'utf8')).toBe('ranges/servicenodeports');
  expect(await server.etcdctl('get', '--print-value-only', '/copy/secrets/default/token')).toBe('secrets/default/token');
  expect(await server.etcdctl('get', '--print-value-only', '/bar/this')).toBe('that');
});
