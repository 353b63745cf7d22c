import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeStored } from '../../src/kubernetes/decode.js';
import { encodeStored } from '../../src/kubernetes/encode.js';
import { storedValuesIn } from '../../src/kubernetes/raw-output.js';
import { toProtobufStorage } from '../../src/kubernetes/to-protobuf.js';
import { readDocuments, toYaml } from '../../src/kubernetes/yaml.js';
import { bytes } from '../support/arbitrary.js';
import { realRecords } from './real.js';

describe('storedValuesIn', () => {
  test('finds every value in the raw output of etcdctl get, with and without keys, to the byte', async () => {
    const records = (await realRecords('plain.db.gz')).filter(({ value }) => decodeStored(value).json !== undefined);
    const [lines, values] = [[] as Buffer[], [] as Buffer[]];
    for (const { key, value } of records) {
      lines.push(key, Buffer.from('\n'), value, Buffer.from('\n'));
      values.push(value, Buffer.from('\n'));
    }
    const found = storedValuesIn(Buffer.concat(lines));
    expect(found.map(({ key }) => String(key))).toEqual(records.map(({ key }) => String(key)));
    const same = (some: { value: Buffer }[]): boolean => some.every(({ value }, i) => value.equals(records[i]?.value as Buffer));
    expect(same(found)).toBe(true);
    const alone = storedValuesIn(Buffer.concat(values));
    expect(alone.length).toBe(records.length);
    expect(same(alone)).toBe(true);
  });

  test('a value alone is left as it is, a ciphertext and binary data too', () => {
    fc.assert(
      fc.property(bytes({ maxLength: 60 }), fc.constantFrom('', 'k8s:enc:aesgcm:v1:k:'), (noise, start) => {
        const value = Buffer.concat([Buffer.from(start), noise]);
        expect(Buffer.concat(storedValuesIn(value).map((one) => one.value)).length).toBeLessThanOrEqual(value.length);
        if (start !== '') expect(storedValuesIn(value)).toEqual([{ key: undefined, value }]);
      }),
    );
    const { bytes: secret } = encodeStored('{"kind":"Secret","apiVersion":"v1","data":{"a":"Cgo="}}');
    for (const input of [secret, Buffer.concat([secret, Buffer.from('\n')])])
      expect(storedValuesIn(input)).toEqual([{ key: undefined, value: secret }]);
  });
});

describe('YAML', () => {
  const json =
    '{"kind":"X","apiVersion":"v1","s":"yes","t":"0777","u":"12:30","v":"2001-01-01","w":"1_000","x":9007199254740993,"y":"a\\nb\\n","z":[],"e":{},"n":null,"10":1,"2":2}';

  test('keeps the order, the digits, and what would be read as something else', () => {
    expect(toYaml(json)).toBe(
      'kind: X\napiVersion: v1\ns: "yes"\nt: "0777"\nu: "12:30"\nv: "2001-01-01"\nw: "1_000"\nx: 9007199254740993\n"y": |\n  a\n  b\nz: []\ne: {}\n"n": null\n"10": 1\n"2": 2\n',
    );
    expect(readDocuments(toYaml(json))).toEqual([{ json, release: undefined }]);
  });

  test('reads several documents, and passes empty ones over', () => {
    expect(readDocuments(`# stored as by Kubernetes 1.21\n${toYaml(json)}---\n---\na: 1:30\nb: yes\nc: 2001-01-01\n`)).toEqual([
      { json, release: '1.21' },
      { json: '{"a":"1:30","b":true,"c":"2001-01-01"}', release: undefined },
    ]);
    expect(() => readDocuments('a: [1')).toThrow('not YAML');
  });
});

describe('encodeStored', () => {
  const encode = (object: unknown): unknown => encodeStored(JSON.stringify({ kind: 'Pod', apiVersion: 'v1', ...(object as object) }));

  test('names the member that is wrong', () => {
    expect(() => encode({ spec: { containers: [{ imag: 'x' }] } })).toThrow('no Kubernetes release has spec.containers[0].imag');
    expect(() => encode({ spec: { priority: 'x' } })).toThrow('spec.priority: expected a whole number, found "x"');
    expect(() => encode({ spec: { containers: [{ resources: { limits: { cpu: '1x' } } }] } })).toThrow(
      'spec.containers[0].resources.limits.cpu: expected a quantity like 500m or 1Gi, found "1x"',
    );
    expect(() => encode({ metadata: { creationTimestamp: 'today' } })).toThrow('metadata.creationTimestamp: expected a time');
    expect(() => encodeStored('{"kind":"Pod"}')).toThrow('no apiVersion');
    expect(() => encodeStored('[]')).toThrow('expected an object');
    expect(() => encodeStored('{"kind":"Widget","apiVersion":"example.com/v1"}')).toThrow('Widget of example.com/v1 has no protobuf form');
    expect(() => encodeStored('{"kind":"Pod","apiVersion":"v1"}', { release: '1.5' })).toThrow('Kubernetes 1.5 is not known');
  });

  test('writes quantities as Kubernetes does, and leaves out what it is told to', () => {
    const pod =
      '{"kind":"Pod","apiVersion":"v1","spec":{"containers":[{"name":"c","resources":{"limits":{"cpu":"1000m","memory":1073741824}},"nonsense":1}]}}';
    const { bytes: stored, dropped } = encodeStored(pod, { dropUnknown: true });
    expect(dropped).toEqual(['spec.containers[0].nonsense']);
    expect(String(decodeStored(stored).json)).toContain('"limits":{"cpu":"1","memory":"1073741824"}');
  });

  test('writes JSON storage on one line, as it was given', () => {
    const widget = '{ "kind": "Widget",\n "apiVersion": "example.com/v1", "n": 1.50 }';
    expect(encodeStored(widget, { storage: 'json' }).bytes.toString()).toBe('{"kind":"Widget","apiVersion":"example.com/v1","n":1.50}\n');
  });
});

describe('toProtobufStorage', () => {
  test('converts what an API server of the days of v2 stored', () => {
    const stored =
      '{"kind":"Service","apiVersion":"v1","metadata":{"name":"web","namespace":"shop","creationTimestamp":"2016-05-04T03:02:01Z"},"spec":{"ports":[{"protocol":"TCP","port":80,"targetPort":8080}],"clusterIP":"10.0.0.1","deprecatedPublicIPs":["192.0.2.1"]},"status":{"loadBalancer":{}}}\n';
    const result = toProtobufStorage(Buffer.from(stored));
    expect(result).toMatchObject({ outcome: 'converted', kind: 'Service', dropped: ['spec.deprecatedPublicIPs'] });
    const { json, format } = decodeStored(result.value);
    expect(format).toBe('protobuf');
    expect(`${json}\n`).toBe(stored.replace(',"deprecatedPublicIPs":["192.0.2.1"]', ''));
  });

  test('says what stays as it is', () => {
    const outcome = (text: string): string => toProtobufStorage(Buffer.from(text)).outcome;
    expect(outcome('{"kind":"PetSet","apiVersion":"apps/v1alpha1"}')).toBe('no-message');
    expect(outcome('{"kind":"CustomResourceDefinition","apiVersion":"apiextensions.k8s.io/v1beta1"}')).toBe('no-message');
    expect(outcome('{"kind":"Pod","apiVersion":"v1","spec":1}')).toBe('not-convertible');
    expect(outcome('{"a":1}')).toBe('not-json');
    expect(outcome('12')).toBe('not-json');
    expect(outcome('k8s\0')).toBe('not-json');
  });

  test("makes of a real API server's JSON what it stores as protobuf", async () => {
    const protobuf = new Map((await realRecords('plain.db.gz')).map(({ key, value }) => [String(key), value]));
    const outcomes = new Map<string, number>();
    for (const { key, value } of await realRecords('json-storage.db.gz')) {
      const result = toProtobufStorage(value);
      outcomes.set(result.outcome, (outcomes.get(result.outcome) ?? 0) + 1);
      if (result.outcome !== 'converted') expect(decodeStored(protobuf.get(String(key)) ?? value).format).toBe('json');
      else expect(result.dropped).toEqual([]);
    }
    expect(Object.fromEntries(outcomes)).toEqual({ converted: 269, 'no-message': 48 });
  });
});
