import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { cleanEnvironment, EtcdServer, etcdWithV2, newestEtcd } from '../support/etcd.js';
import { temporaryDirectory } from '../support/temp.js';
import { V2Client } from '../support/v2.js';
import { UnpackedDataDir } from '../support/v2-data.js';

const ROOT = join(import.meta.dirname, '../..');
const directory = temporaryDirectory();
const at = (name: string): string => join(directory, name);

/** The runbook's ```sh blocks, as written. */
function commands(): string[] {
  const text = readFileSync(join(ROOT, 'docs/migration.md'), 'utf8');
  return [...text.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map((match) => match[1] as string);
}

test('every command of the runbook works, run as written, one after the other', { timeout: 240_000 }, async () => {
  await using old = await EtcdServer.start(etcdWithV2(), { args: ['--enable-v2'] });
  await using server = await EtcdServer.start(newestEtcd());
  await using kube = await EtcdServer.start(newestEtcd());
  using files = new UnpackedDataDir('v34');
  const client = new V2Client(old.endpoint);
  for (let i = 0; i < 20; i++) await client.put(`/app/config/k${i}`, `value ${i}`);
  await client.put('/app/session', 'ends', '&ttl=600');
  await client.put('/app/_hidden/x', 'known by name');
  await client.write('PUT', '/app/empty', 'dir=true');
  await client.put('/registry/namespaces/default', '{"kind":"Namespace","apiVersion":"v1","metadata":{"name":"default"}}');
  await client.put('/registry/events/default/e', '{"kind":"Event","apiVersion":"v1","metadata":{"name":"e"}}', '&ttl=600');
  mkdirSync(at('bin'));
  symlinkSync(join(ROOT, 'bin/etcdferry.js'), at('bin/etcdferry'));
  const env = { ...cleanEnvironment(), XDG_STATE_HOME: at('state'), PATH: `${at('bin')}:${newestEtcd().dir}:${process.env.PATH}` };
  const places = { 'http://old:2379': old.endpoint, 'http://new:2379': server.endpoint, 'http://kube:2379': kube.endpoint };
  const blocks = commands();
  expect(blocks.length).toBeGreaterThan(10);
  let output = '';
  for (const block of blocks) {
    const script = Object.entries({ ...places, '/var/lib/etcd': files.path }).reduce(
      (text, [from, to]) => text.replaceAll(from, to),
      block,
    );
    const run = promisify(execFile)('bash', ['-euo', 'pipefail', '-c', script], { cwd: directory, env });
    const ended = run.then(
      ({ stdout, stderr }) => {
        output += stdout + stderr;
        return 'done';
      },
      (failed: { stdout: string; stderr: string }) => failed.stdout + failed.stderr,
    );
    await expect(ended, block).resolves.toBe('done');
  }
  // What the runbook says of them.
  expect(output).toContain('all 24 keys are as in the source');
  expect(output).toMatch(/wrote 0 keys .*24 keys already equal/);
  expect(await server.etcdctl('get', '--print-value-only', '/app/_hidden/x')).toBe('known by name');
  expect(await server.etcdctl('get', '--print-value-only', '/restored/foo')).not.toBe('');
  expect((await kube.etcdctl('get', '/', '--prefix', '--keys-only')).split('\n').filter(Boolean)).toEqual([
    '/registry/events/default/e',
    '/registry/namespaces/default',
  ]);
  expect((await client.send('GET', '/keys/app')).status).toBe(404);
  for (const page of ['report.html', 'files.html', 'kube.html']) expect(readFileSync(at(page), 'utf8')).toMatch(/class="verdict complete"/);
});
