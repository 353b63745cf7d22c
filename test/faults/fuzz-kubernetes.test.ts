import { expect, test } from 'vitest';
import { decodeStored, type StoredValue } from '../../src/kubernetes/decode.js';
import { encodeStored } from '../../src/kubernetes/encode.js';
import { parseEncryptionConfiguration } from '../../src/kubernetes/encryption/config.js';
import { Encryption } from '../../src/kubernetes/encryption/encryption.js';
import { readKmsObject, writeKmsObject } from '../../src/kubernetes/encryption/kms.js';
import { parseStoragePath } from '../../src/kubernetes/storage-path.js';
import { readDocuments, toYaml } from '../../src/kubernetes/yaml.js';
import { goldenTriples } from '../kubernetes/golden.js';
import { realFile, realRecords } from '../kubernetes/real.js';
import { either, fuzzEach, type Parser, patienceFor } from './fuzz.js';
import { deepJson } from './hostile.js';

/** What was read exactly, as some release of Kubernetes writes it, is written again byte for byte. */
function thereAndBack(bytes: Buffer): void {
  const { format, json, release }: StoredValue = decodeStored(bytes);
  if (format !== 'protobuf' || json === undefined || release === undefined) return;
  if (!encodeStored(json, { release }).bytes.equals(bytes))
    throw new Error(`written again it is another: ${json.toString().slice(0, 300)}`);
}

/** CBOR as Kubernetes begins it: a map with text, numbers, bytes with a tag, and an array. */
const CBOR = Buffer.from('d9d9f7a4446b696e644353657464617069567665727369644276316164fb3ff8000000000000616283f6f520', 'hex');

async function parsers(): Promise<Parser[]> {
  const plain = await realRecords('plain.db.gz');
  const encrypted = await realRecords('encrypted.db.gz');
  const golden = goldenTriples();
  const configuration = realFile('encryption-config.yaml');
  const encryption = new Encryption(parseEncryptionConfiguration(configuration.toString()));
  const sealed = encrypted.filter(({ value }) => decodeStored(value).format === 'encrypted').slice(0, 60);
  const kms = writeKmsObject({
    data: Buffer.alloc(40, 1),
    sealed: { ciphertext: Buffer.alloc(20, 2), keyId: 'k', annotations: [Buffer.from('22060a0161120162', 'hex')] },
    isSeeded: true,
  });
  const aliases = Buffer.from(`kind: EncryptionConfiguration\na: &a [x,x]\nresources: [${'*a,'.repeat(200)}]\n`);
  const json = golden.map((triple) => Buffer.from(triple.json));
  return [
    { name: 'a stored value', corpus: [...plain.map(({ value }) => value), CBOR], parse: (bytes) => decodeStored(bytes) },
    { name: "Kubernetes' golden objects, there and back", corpus: golden.map(({ pb }) => pb), parse: thereAndBack },
    {
      name: 'JSON to be stored',
      corpus: [...json, deepJson('{"kind":"Pod","apiVersion":"v1","spec":', '{"a":', '1', '}', '}')],
      parse: (bytes) => encodeStored(bytes),
    },
    {
      name: 'an encrypted value',
      corpus: sealed.map(({ value }) => value),
      parse: async (bytes) => {
        const decrypted = await encryption.decrypt(bytes, (sealed[0] as { key: Buffer }).key);
        if (decrypted.opened) decodeStored(decrypted.value);
      },
    },
    {
      name: 'YAML of objects',
      corpus: golden.flatMap(({ yaml }, i) => (i % 5 === 0 ? [Buffer.from(yaml)] : [])),
      parse: (bytes) => {
        for (const { json: found } of readDocuments(bytes.toString())) toYaml(found);
      },
    },
    { name: 'a KMS envelope', corpus: [kms], parse: (bytes) => readKmsObject(bytes) },
    {
      name: 'an EncryptionConfiguration',
      corpus: [configuration, aliases, deepJson('{"kind":"EncryptionConfiguration","resources":', '[', '1', ']', '}')],
      parse: (bytes) => parseEncryptionConfiguration(bytes.toString()),
    },
    {
      name: 'the key of an object',
      corpus: plain.map(({ key }) => key),
      parse: either(
        (bytes) => parseStoragePath(bytes),
        (bytes) => parseStoragePath(bytes, ['/x']),
      ),
    },
  ];
}

const COUNT = 8;
test(`none of ${COUNT} parsers of Kubernetes' bytes answers hostile ones with anything but a FerryError`, {
  timeout: patienceFor(COUNT),
}, async () => {
  const all = await parsers();
  expect(all.length).toBe(COUNT);
  expect(await fuzzEach(all)).toEqual([]);
});
