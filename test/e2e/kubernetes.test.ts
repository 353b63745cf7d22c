import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { etcdferry, jsonOf } from '../support/cli.js';
import { EtcdServer, etcdWithV2, newestEtcd } from '../support/etcd.js';
import { temporaryDirectory } from '../support/temp.js';

const DATA = join(import.meta.dirname, '../../testdata/kubernetes-1.20');
const CONFIG = join(DATA, 'encryption-config.yaml');
const directory = temporaryDirectory();
const at = (name: string): string => join(directory, name);

/** An encrypting configuration whose first provider for secrets is AES-GCM. */
const GCM = `kind: EncryptionConfiguration
apiVersion: apiserver.config.k8s.io/v1
resources:
- resources: [secrets]
  providers:
  - aesgcm: { keys: [{ name: new, secret: ${Buffer.alloc(32, 7).toString('base64')} }] }
`;

let target: EtcdServer;

async function keysOf(server: EtcdServer): Promise<string[]> {
  return (await server.etcdctl('get', '', '--from-key', '--keys-only')).split('\n').filter((line) => line !== '');
}

beforeAll(async () => {
  for (const name of ['plain', 'encrypted', 'json-storage'])
    writeFileSync(at(`${name}.db`), gunzipSync(readFileSync(join(DATA, `${name}.db.gz`))));
  writeFileSync(at('gcm.yaml'), `${GCM}${readFileSync(CONFIG, 'utf8').split('resources:\n').slice(1).join('resources:\n')}`);
  target = await EtcdServer.start(newestEtcd());
});

afterAll(() => target.stop());

describe('get', () => {
  test('prints an object as YAML, as JSON and as it is stored, the three of them the same', async () => {
    const args = ['get', at('plain.db'), '/registry/services/specs/default/kubernetes'];
    const [yaml, json, raw] = await Promise.all([etcdferry(args), etcdferry([...args, '-o', 'json']), etcdferry([...args, '-o', 'raw'])]);
    expect(yaml.stdout.toString()).toMatch(/^# stored as by Kubernetes .*\nkind: Service\n/);
    expect(jsonOf(json)).toMatchObject({ kind: 'Service', metadata: { name: 'kubernetes' } });
    const again = await etcdferry(['encode'], { stdin: yaml.stdout });
    expect(again.stdout.equals(raw.stdout)).toBe(true);
    const wrapped = await etcdferry([...args, '--json']);
    expect(jsonOf(wrapped)).toMatchObject({
      schema: 'etcdferry.get/v1',
      kind: 'Service',
      object: jsonOf(json),
      valueBase64: raw.stdout.toString('base64'),
    });
  });

  test('opens what is encrypted with the configuration, and without it says with what, exit 3', async () => {
    const args = ['get', at('encrypted.db'), '/registry/secrets/shop/s-10'];
    const closed = await etcdferry(args);
    expect(closed).toMatchObject({ exit: 3, stderr: expect.stringMatching(/encrypted with aescbc, key key1/) });
    expect(closed.stdout.length).toBe(0);
    const open = await etcdferry([...args, '-o', 'json', '--encryption-config', CONFIG]);
    expect(open.exit).toBe(0);
    expect(jsonOf(open)).toMatchObject({ kind: 'Secret', metadata: { namespace: 'shop' } });
  });
});

test('ls -o wide and inspect tell objects by kind and namespace', async () => {
  const wide = await etcdferry(['ls', at('plain.db'), '-o', 'wide', '--kind', 'Secret', '--namespace', 'shop']);
  const lines = wide.stdout.toString().trimEnd().split('\n');
  expect(lines[0]).toMatch(/^KIND +NAMESPACE +NAME +SIZE +REVISION +KEY$/);
  expect(lines.length).toBe(11);
  for (const line of lines.slice(1)) expect(line).toMatch(/^Secret +shop +\S+ .*\/registry\/secrets\/shop\//);
  const found = jsonOf(await etcdferry(['inspect', at('plain.db'), '--json'])) as { objects: object[] };
  expect(found.objects).toContainEqual({ kind: 'Secret', resource: 'secrets', namespace: 'shop', objects: 10, bytes: expect.any(Number) });
});

describe('decode', () => {
  test('takes the raw output of etcdctl, and gives a line per input', async () => {
    const raw = await etcdferry(['get', at('plain.db'), '/registry/namespaces/shop', '-o', 'raw']);
    const stdin = Buffer.concat([Buffer.from('/registry/namespaces/shop\n'), raw.stdout, Buffer.from('\n')]);
    expect(jsonOf(await etcdferry(['decode', '-o', 'json'], { stdin }))).toMatchObject({ kind: 'Namespace', metadata: { name: 'shop' } });
    const lines = (await etcdferry(['decode', '--json', '-', at('none')], { stdin })).stdout.toString().trimEnd().split('\n');
    expect(lines.map((line) => JSON.parse(line) as object)).toMatchObject([
      { schema: 'etcdferry.decode/v1', file: '-', kind: 'Namespace', apiVersion: 'v1', object: { metadata: { name: 'shop' } } },
      { file: at('none'), error: { code: 'not-found' } },
      { schema: 'etcdferry.decode-summary/v1', values: 2, failed: 1, exit: 2 },
    ]);
  });
});

test('a namespace restored alone is that namespace and nothing else', async () => {
  await using own = await EtcdServer.start(newestEtcd());
  expect(await etcdferry(['restore', '--from', at('plain.db'), '--to', own.endpoint, '--namespace', 'shop'])).toMatchObject({ exit: 0 });
  const keys = await keysOf(own);
  const all = (await etcdferry(['ls', at('plain.db')])).stdout.toString().trimEnd().split('\n');
  const expected = all.filter((key) => /^\/registry\/(?:[^/]+\/){1,2}shop\//.test(key));
  expect(keys).toEqual(expected.sort());
  expect(keys.length).toBeGreaterThan(30);
});

test('renamed and sealed anew with AES-GCM, a secret opens under its new path; as it is, it is refused', async () => {
  const mapping = ['--prefix', '/registry/secrets/shop/', '--map', '/registry/secrets/shop/=/registry/secrets/copy/'];
  const sealed = ['--reencrypt', '--encryption-config', at('gcm.yaml')];
  const first = await etcdferry(['restore', '--from', at('encrypted.db'), '--to', target.endpoint, ...mapping, ...sealed]);
  expect(first).toMatchObject({ exit: 0 });
  const again = await etcdferry(['restore', '--from', at('encrypted.db'), '--to', target.endpoint, ...mapping, ...sealed, '--json']);
  expect(jsonOf(again)).toMatchObject({ written: 0 });
  const key = '/registry/secrets/copy/s-10';
  const stored = await etcdferry(['get', target.endpoint, key, '-o', 'raw']);
  expect(stored.stdout.toString('latin1')).toMatch(/^k8s:enc:aesgcm:v1:new:/);
  const shown = await etcdferry(['get', target.endpoint, key, '-o', 'json', '--encryption-config', at('gcm.yaml')]);
  expect(jsonOf(shown)).toMatchObject({ kind: 'Secret', metadata: { name: 's-10' } });

  expect(
    await etcdferry(['backup', '--from', target.endpoint, '--to', at('gcm.tar'), '--prefix', '/registry/secrets/copy/']),
  ).toMatchObject({ exit: 0 });
  const moved = await etcdferry([
    'restore',
    '--from',
    at('gcm.tar'),
    '--to',
    target.endpoint,
    '--map',
    '/registry/secrets/copy/=/registry/secrets/third/',
  ]);
  expect(moved).toMatchObject({ exit: 2, stderr: expect.stringMatching(/encrypted for this very key.*\n.*--reencrypt/) });
  expect((await keysOf(target)).filter((name) => name.includes('/third/'))).toEqual([]);
});

test('into an etcd that a Kubernetes runs on, its own keys are left alone unless asked for', async () => {
  await using own = await EtcdServer.start(newestEtcd());
  await own.etcdctl('put', 'compact_rev_key', '77');
  await own.etcdctl('put', '/registry/masterleases/192.0.2.9', 'mine');
  const restored = await etcdferry(['restore', '--from', at('plain.db'), '--to', own.endpoint, '--json']);
  expect(restored.exit).toBe(0);
  expect(JSON.stringify(jsonOf(restored))).toContain('kubernetes-runtime-left-alone');
  const kept = (await keysOf(own)).filter((key) => /^compact_rev_key|\/(masterleases|events|leases)\//.test(key));
  expect(kept).toEqual(['/registry/masterleases/192.0.2.9', 'compact_rev_key']);
  expect(await own.etcdctl('get', 'compact_rev_key', '--print-value-only')).toBe('77');
  const asked = await etcdferry([
    'restore',
    '--from',
    at('plain.db'),
    '--to',
    own.endpoint,
    '--include-runtime',
    '--on-conflict',
    'overwrite',
  ]);
  expect(asked.exit).toBe(0);
  expect(await keysOf(own)).toContain('/registry/masterleases/192.0.2.2');
});

test('JSON that an old Kubernetes stored in v2 becomes what a later one stores', async () => {
  await using old = await EtcdServer.start(etcdWithV2(), { args: ['--enable-v2'] });
  const pod = { kind: 'Pod', apiVersion: 'v1', metadata: { name: 'web', namespace: 'shop', creationTimestamp: '2017-01-02T03:04:05Z' } };
  await old.etcdctl2('set', '/registry/pods/shop/web', JSON.stringify({ ...pod, spec: { containers: [{ name: 'c', image: 'i' }] } }));
  await old.etcdctl2('set', '/registry/example.com/things/shop/t', '{"kind":"Thing","apiVersion":"example.com/v1"}');
  const migrated = await etcdferry(['migrate', '--from', old.endpoint, '--to', at('new.tar'), '--kubernetes-protobuf', '--json']);
  expect(migrated.exit).toBe(0);
  expect((jsonOf(migrated) as { notes: object[] }).notes).toMatchObject([
    { code: 'kubernetes-json-kept', count: 1 },
    { code: 'kubernetes-protobuf', count: 1 },
  ]);
  const stored = await etcdferry(['get', at('new.tar'), '/registry/pods/shop/web', '-o', 'raw']);
  expect(stored.stdout.subarray(0, 4).toString('latin1')).toBe('k8s\0');
  expect(jsonOf(await etcdferry(['get', at('new.tar'), '/registry/pods/shop/web', '-o', 'json']))).toMatchObject({
    ...pod,
    spec: { containers: [{ image: 'i' }] },
  });
});
