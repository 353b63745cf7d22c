import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseKeyMapping } from '../../src/convert/key-mapping.js';
import { FerryError } from '../../src/errors.js';
import { type MoveOptions, movedValues } from '../../src/jobs/moved-values.js';
import { parseEncryptionConfiguration } from '../../src/kubernetes/encryption/config.js';
import { Encryption } from '../../src/kubernetes/encryption/encryption.js';
import { isBoundToKey } from '../../src/kubernetes/encryption/prefix.js';
import type { KeyValue } from '../../src/model/keyvalue.js';
import { decodeKeyValue } from '../../src/wire/keyvalue.js';
import { KmsTestPlugin } from '../support/kms-plugin.js';
import { kv, sourceOf } from '../support/source.js';

const SECRETS = { group: '', resource: 'secrets' };
const VALUE = Buffer.from('{"kind":"Secret","apiVersion":"v1","metadata":{"name":"s","namespace":"ns"}}');
const key32 = Buffer.alloc(32, 7).toString('base64');

let plugin: KmsTestPlugin;
beforeAll(async () => {
  plugin = await KmsTestPlugin.start();
});
afterAll(() => plugin[Symbol.asyncDispose]());

const PROVIDERS: Readonly<Record<string, () => string>> = {
  aescbc: () => `aescbc: {keys: [{name: k, secret: ${key32}}]}`,
  aesgcm: () => `aesgcm: {keys: [{name: k, secret: ${key32}}]}`,
  secretbox: () => `secretbox: {keys: [{name: k, secret: ${key32}}]}`,
  'kms v1': () => `kms: {name: k, endpoint: "${plugin.endpoint}"}`,
  'kms v2': () => `kms: {apiVersion: v2, name: k, endpoint: "${plugin.endpoint}"}`,
};

const PATHS: Readonly<Record<string, string>> = {
  'a usual prefix': '/registry/secrets/ns/s',
  'a prefix that was named': '/mine/secrets/ns/s',
  'an unknown prefix': '/k8s-old/secrets/ns/s',
};

const RENAMES: Readonly<Record<string, Parameters<typeof parseKeyMapping>[0]>> = {
  'no rename': {},
  'a rename to a usual prefix': { map: ['/k8s-old/=/registry/', '/mine/=/registry/', '/registry/=/openshift.io/'] },
  'a rename to an unknown prefix': { map: ['/k8s-old/=/copy/', '/mine/=/copy/', '/registry/=/copy/'] },
  'a rename within the prefix': {
    map: ['/k8s-old/secrets/=/k8s-old/copies/', '/mine/secrets/ns/=/mine/secrets/b/', '/registry/secrets/ns/=/registry/secrets/b/'],
  },
  'an added prefix': { addPrefix: '/copy' },
};

function encryptionWith(provider: string): Encryption {
  const providers = `providers: [{${PROVIDERS[provider]?.() ?? ''}}]`;
  return new Encryption(parseEncryptionConfiguration(`{kind: EncryptionConfiguration, resources: [{resources: [secrets], ${providers}}]}`));
}

async function moved(key: string, value: Buffer, options: MoveOptions): Promise<KeyValue | FerryError> {
  try {
    for await (const { bytes, starts, ends } of movedValues(sourceOf([kv(key, value)]), options).records()) {
      return decodeKeyValue(bytes, starts[0], ends[0]);
    }
    throw new Error('no record');
  } catch (thrown) {
    if (thrown instanceof FerryError) return thrown;
    throw thrown;
  }
}

describe.each(Object.keys(PROVIDERS))('a value sealed by %s', (provider) => {
  describe.each(Object.entries(PATHS))('under %s', (_, path) => {
    test.each(Object.entries(RENAMES))('opens after %s, or is refused', async (__, renamed) => {
      await using encryption = encryptionWith(provider);
      const mapping = parseKeyMapping(renamed);
      const to = mapping.mapKey(Buffer.from(path));
      const sealed = await encryption.encrypt(VALUE, Buffer.from(path), SECRETS);
      const isMoved = to.toString() !== path;
      for (const again of [undefined, encryption]) {
        const result = await moved(path, sealed, {
          mapping,
          etcdPrefixes: ['/mine'],
          ...(again === undefined ? {} : { encryption: again }),
        });
        const isKnown = !path.startsWith('/k8s-old/');
        const refused = isMoved && isBoundToKey(sealed) && (again === undefined || !isKnown);
        if (result instanceof FerryError) {
          const isCopyOfNoResource = again !== undefined && to.toString().includes('/copies/');
          expect([refused || isCopyOfNoResource, result.code]).toEqual([true, 'usage']);
          expect(result.hint).toContain(again === undefined ? '--reencrypt' : '--etcd-prefix');
        } else {
          expect(refused).toBe(false);
          expect(await encryption.decrypt(result.value, to)).toMatchObject({
            opened: true,
            provider: provider.split(' ')[0],
            value: VALUE,
          });
        }
      }
    });
  });
});

test('a value whose resource the configuration does not name is refused, not stored for everybody to read', async () => {
  await using encryption = encryptionWith('aesgcm');
  const path = '/registry/k8s-old/secrets/ns';
  const sealed = await encryption.encrypt(VALUE, Buffer.from(path), SECRETS);
  const result = await moved(path, sealed, { mapping: parseKeyMapping({ map: ['/registry/k8s-old/=/registry/other/'] }), encryption });
  expect(result).toMatchObject({ code: 'usage', message: expect.stringContaining('has no provider for other') });
});
