import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FerryError } from '../../src/errors.js';
import { decodeStored } from '../../src/kubernetes/decode.js';
import { sealCbc, sealGcm, sealSecretbox } from '../../src/kubernetes/encryption/ciphers.js';
import { parseEncryptionConfiguration } from '../../src/kubernetes/encryption/config.js';
import { Encryption } from '../../src/kubernetes/encryption/encryption.js';
import { encryptionPrefix, isBoundToKey } from '../../src/kubernetes/encryption/prefix.js';
import { resourceOf } from '../../src/kubernetes/select.js';
import { bytes } from '../support/arbitrary.js';
import { KmsTestPlugin } from '../support/kms-plugin.js';
import { realFile, realLines, realRecords } from './real.js';

const SECRETS = { group: '', resource: 'secrets' };
const KEY = Buffer.from('/registry/secrets/shop/s');
const OTHER_KEY = Buffer.from('/registry/secrets/other/s');
const VALUE = Buffer.from('k8s\0 a value');
const secret = (byte: number, length = 32): string => Buffer.alloc(length, byte).toString('base64');

function configuration(...providers: string[]): Encryption {
  const list = providers.map((provider) => `  - ${provider}`).join('\n');
  return new Encryption(
    parseEncryptionConfiguration(`kind: EncryptionConfiguration\nresources:\n- resources: [secrets]\n  providers:\n${list}\n`),
  );
}

describe('values encrypted by a real API server (1.20)', () => {
  const real = new Encryption(parseEncryptionConfiguration(realFile('encryption-config.yaml').toString()));

  test('open, and are what the API server serves', async () => {
    const wanted = new Map(
      realLines('encrypted.objects.ndjson.gz').map((line) => {
        // A resourceVersion is never stored; the server takes it from the record.
        const object = JSON.parse(line, (name, value: unknown) => (name === 'resourceVersion' ? undefined : value)) as Served;
        return [`${object.kind} ${object.metadata.namespace} ${object.metadata.name}`, object];
      }),
    );
    const providers = new Set<string>();
    for (const { key, value } of await realRecords('encrypted.db.gz')) {
      if (decodeStored(value).format !== 'encrypted') continue;
      const decrypted = await real.decrypt(value, key);
      if (!decrypted.opened) throw new Error(`${key} does not open`);
      providers.add(`${decrypted.provider} ${decrypted.keyName}`);
      const object = JSON.parse(String(decodeStored(decrypted.value).json)) as Served;
      const name = `${object.kind} ${object.metadata.namespace} ${object.metadata.name}`;
      expect(object).toEqual(wanted.get(name));
      wanted.delete(name);
    }
    expect([...providers].sort()).toEqual(['aescbc key1', 'aesgcm gcm1', 'secretbox sb1']);
    expect([...wanted.keys()]).toEqual([]);
  });

  test('move to another key when they are encrypted anew', async () => {
    const record = (await realRecords('encrypted.db.gz')).find(({ value }) => value.includes('k8s:enc:aesgcm'));
    const { key, value } = record as { key: Buffer; value: Buffer };
    const to = Buffer.from(String(key).replace('/registry/', '/other/'));
    const resource = resourceOf(key, value);
    expect(resource).toEqual({ group: '', resource: 'serviceaccounts' });
    expect(isBoundToKey(value)).toBe(true);
    expect(await real.decrypt(value, to)).toEqual({ opened: false, provider: 'aesgcm', keyName: 'gcm1' });
    const moved = await real.reencrypt(value, key, to, resource as { group: string; resource: string });
    const [before, after] = [await real.decrypt(value, key), await real.decrypt((moved as { value: Buffer }).value, to)];
    expect(moved.opened && encryptionPrefix(moved.value)?.provider).toBe('aesgcm');
    expect(after).toEqual(before);
  });
});

interface Served {
  readonly kind: string;
  readonly metadata: { readonly namespace: string; readonly name: string };
}

describe('Encryption', () => {
  const providers = (['aescbc', 'aesgcm', 'secretbox'] as const).map((type) => `${type}: {keys: [{name: k, secret: ${secret(7)}}]}`);

  test.each(providers)('what %s sealed opens', async (provider) => {
    const encryption = configuration(provider);
    await fc.assert(
      fc.asyncProperty(bytes({ maxLength: 100 }), bytes({ maxLength: 30 }), async (value, key) => {
        const sealed = await encryption.encrypt(value, key, SECRETS);
        expect(await encryption.decrypt(sealed, key)).toMatchObject({ opened: true, keyName: 'k', value });
      }),
      { numRuns: 30 },
    );
  });

  test.each(providers)('%s seals the same value the same way, and no other value or key with its nonce', async (provider) => {
    const encryption = configuration(provider);
    const prefix = `k8s:enc:${provider.slice(0, provider.indexOf(':'))}:v1:k:`.length;
    const nonceOf = (sealed: Buffer): string => sealed.subarray(prefix, prefix + 12).toString('hex');
    const [first, again, otherKey, otherValue] = [
      await encryption.encrypt(VALUE, KEY, SECRETS),
      await encryption.encrypt(VALUE, KEY, SECRETS),
      await encryption.encrypt(VALUE, OTHER_KEY, SECRETS),
      await encryption.encrypt(Buffer.concat([VALUE, VALUE]), KEY, SECRETS),
    ] as const;
    expect(again).toEqual(first);
    expect(new Set([first, otherKey, otherValue].map(nonceOf)).size).toBe(3);
  });

  test.each(providers)('bytes that %s did not seal do not open, whatever they are', async (provider) => {
    const encryption = configuration(provider);
    const type = provider.slice(0, provider.indexOf(':'));
    await fc.assert(
      fc.asyncProperty(bytes({ maxLength: 100 }), async (noise) => {
        const result = await encryption.decrypt(Buffer.concat([Buffer.from(`k8s:enc:${type}:v1:k:`), noise]), KEY);
        if (type !== 'aescbc') expect(result).toEqual({ opened: false, provider: type, keyName: 'k' });
      }),
    );
  });

  test('every key configured is tried', async () => {
    const sealed = (body: Buffer, name: string): Buffer => Buffer.concat([Buffer.from(name), body]);
    const encryption = configuration(
      `aesgcm: {keys: [{name: a, secret: ${secret(1)}}, {name: a, secret: ${secret(2, 16)}}, {name: "a:b", secret: ${secret(3, 24)}}]}`,
      `aescbc: {keys: [{name: c, secret: ${secret(4)}}, {name: c, secret: ${secret(5)}}]}`,
      `secretbox: {keys: [{name: new, secret: ${secret(6)}}]}`,
      'identity: {}',
    );
    const opened = { opened: true, value: VALUE };
    expect(await encryption.decrypt(sealed(sealGcm(Buffer.alloc(16, 2), VALUE, KEY), 'k8s:enc:aesgcm:v1:a:'), KEY)).toMatchObject(opened);
    expect(await encryption.decrypt(sealed(sealGcm(Buffer.alloc(24, 3), VALUE, KEY), 'k8s:enc:aesgcm:v1:a:b:'), KEY)).toMatchObject(opened);
    for (let i = 0; i < 50; i++) {
      // Every 256th or so also unpads with the wrong key.
      expect(
        await encryption.decrypt(sealed(sealCbc(Buffer.alloc(32, 5), VALUE, Buffer.from([i])), 'k8s:enc:aescbc:v1:c:'), KEY),
      ).toMatchObject(opened);
    }
    expect(
      await encryption.decrypt(sealed(sealSecretbox(Buffer.alloc(32, 6), VALUE, KEY), 'k8s:enc:secretbox:v1:old:'), KEY),
    ).toMatchObject(opened);
    expect(await encryption.decrypt(VALUE, KEY)).toEqual({ opened: true, value: VALUE, provider: '', keyName: '' });
    expect(await encryption.decrypt(Buffer.from('k8s:enc:new:v3:x:y'), KEY)).toEqual({ opened: false, provider: 'new', keyName: 'x' });
  });

  test('the first provider of the first entry that names the resource writes', async () => {
    const encryption = new Encryption(
      parseEncryptionConfiguration(`
kind: EncryptionConfiguration
resources:
- {resources: [events], providers: [{identity: {}}]}
- {resources: ['*.apps', pandas.example.com], providers: [{secretbox: {keys: [{name: s, secret: ${secret(1)}}]}}]}
- {resources: ['*.'], providers: [{aesgcm: {keys: [{name: g, secret: ${secret(2)}}]}}, {identity: {}}]}
`),
    );
    const provider = (group: string, resource: string): string | undefined => encryption.providerFor({ group, resource })?.type;
    expect(provider('', 'events')).toBe('identity');
    expect(provider('apps', 'deployments')).toBe('secretbox');
    expect(provider('example.com', 'pandas')).toBe('secretbox');
    expect(provider('', 'secrets')).toBe('aesgcm');
    expect(provider('batch', 'jobs')).toBeUndefined();
    expect(await encryption.encrypt(VALUE, KEY, { group: 'batch', resource: 'jobs' })).toEqual(VALUE);
  });

  test('tells which values are bound to their key', () => {
    const bound = (prefix: string): boolean => isBoundToKey(Buffer.from(`${prefix}rest`));
    expect(
      ['k8s:enc:aesgcm:v1:k:', 'k8s:enc:kms:v1:k:', 'k8s:enc:kms:v2:k:', 'k8s:enc:aescbc:v1:k:', 'k8s:enc:secretbox:v1:k:', 'k8s'].map(
        bound,
      ),
    ).toEqual([true, true, true, false, false, false]);
  });

  test.each([
    ['no kind', 'a: 1'],
    ['no YAML', 'a: [1'],
    [
      'a short key',
      `kind: EncryptionConfiguration\nresources: [{resources: [x], providers: [{aescbc: {keys: [{name: k, secret: c2VjcmV0}]}}]}]`,
    ],
    ['an unknown provider', 'kind: EncryptionConfiguration\nresources: [{resources: [x], providers: [{rot13: {}}]}]'],
    ['a KMS on TCP', 'kind: EncryptionConfiguration\nresources: [{resources: [x], providers: [{kms: {name: k, endpoint: "tcp://h:1"}}]}]'],
    ['a secret in the wrong place', 'kind: EncryptionConfiguration\nresources: c2VjcmV0'],
  ])('a configuration with %s is refused, and no secret shown', (_, text) => {
    const error = thrownBy(() => parseEncryptionConfiguration(text));
    expect(error).toBeInstanceOf(FerryError);
    expect((error as FerryError).code).toBe('usage');
    expect((error as FerryError).message).not.toContain('c2VjcmV0');
  });
});

function thrownBy(run: () => unknown): unknown {
  try {
    run();
  } catch (thrown) {
    return thrown;
  }
  return undefined;
}

test.each([
  ['aliases of aliases', `kind: EncryptionConfiguration\na: &a [x]\nresources: [${'*a,'.repeat(200)}]`, /an alias that cannot be resolved/],
  ['nesting without end', `${'['.repeat(20_000)}${']'.repeat(20_000)}`, /nested too deep/],
])('a configuration that would take the parser down is refused: %s', (_, text, message) => {
  expect(thrownBy(() => parseEncryptionConfiguration(text))).toMatchObject({ code: 'usage', message: expect.stringMatching(message) });
});

describe.each(['v1', 'v2'] as const)('KMS %s, through the socket of a plugin', (version) => {
  test('seals and opens; a moved value does not open', async () => {
    await using plugin = await KmsTestPlugin.start();
    const provider = `kms: {apiVersion: ${version}, name: "my:kms", endpoint: "${plugin.endpoint}"}`;
    await using writing = configuration(provider);
    await using reading = configuration(provider);
    const values = [VALUE, Buffer.alloc(0), Buffer.alloc(100_000, 'x')];
    const sealed = await Promise.all(values.map((value) => writing.encrypt(value, KEY, SECRETS)));
    expect(plugin.encrypted).toBe(version === 'v2' ? 1 : 3);
    for (const [i, value] of values.entries()) {
      expect(sealed[i]?.toString('latin1')).toMatch(new RegExp(`^k8s:enc:kms:${version}:my:kms:`));
      expect(await reading.decrypt(sealed[i] as Buffer, KEY)).toEqual({ opened: true, value, provider: 'kms', keyName: 'my:kms' });
      expect(await reading.decrypt(sealed[i] as Buffer, OTHER_KEY)).toMatchObject({ opened: false, provider: 'kms' });
    }
    expect(plugin.decrypted).toBe(version === 'v2' ? 1 : 3);
    const moved = await reading.reencrypt(sealed[0] as Buffer, KEY, OTHER_KEY, SECRETS);
    expect(await reading.decrypt((moved as { value: Buffer }).value, OTHER_KEY)).toMatchObject({ opened: true, value: VALUE });
  });

  test('what the plugin refuses does not open; a plugin that is not there is told from that', async () => {
    const name = `k8s:enc:kms:${version}:p:`;
    await using plugin = await KmsTestPlugin.start();
    await using other = await KmsTestPlugin.start();
    await using writing = configuration(`kms: {apiVersion: ${version}, name: p, endpoint: "${other.endpoint}"}`);
    await using reading = configuration(`kms: {apiVersion: ${version}, name: p, endpoint: "${plugin.endpoint}"}`);
    const sealed = await writing.encrypt(VALUE, KEY, SECRETS);
    expect(await reading.decrypt(sealed, KEY)).toEqual({ opened: false, provider: 'kms', keyName: 'p' });
    expect(await reading.decrypt(Buffer.from(name), KEY)).toMatchObject({ opened: false });
    await using gone = configuration(`kms: {apiVersion: ${version}, name: p, endpoint: "unix:///nowhere/kms.sock", timeout: 1s}`);
    await expect(gone.decrypt(sealed, KEY)).rejects.toMatchObject({ code: 'unreachable' });
  });
});
