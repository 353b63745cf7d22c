import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FerryError } from '../../src/errors.js';
import { ENVELOPE_PREFIX } from '../../src/kubernetes/codec/envelope.js';
import { type RawField, splitFields } from '../../src/kubernetes/codec/unknown-fields.js';
import { decodeStored } from '../../src/kubernetes/decode.js';
import { encodeStored } from '../../src/kubernetes/encode.js';
import { readDocuments, toYaml } from '../../src/kubernetes/yaml.js';
import { bytes } from '../support/arbitrary.js';
import { goldenTriples } from './golden.js';
import { randomObject } from './random-object.js';

/** Runs and passes on FerryError alone. */
function orRefused<T>(run: () => T): T | undefined {
  try {
    return run();
  } catch (thrown) {
    if (thrown instanceof FerryError) return undefined;
    throw thrown;
  }
}

const RUNS = process.env.SOAK === undefined ? 300 : 20_000;

describe('objects filled at random from the schema', () => {
  test('what was encoded decodes, and is encoded to the same bytes again', () => {
    fc.assert(
      fc.property(randomObject, ({ json, release }) => {
        const stored = encodeStored(json, { release }).bytes;
        const shown = decodeStored(stored);
        // Another release that writes the same bytes will do as well.
        expect(encodeStored(shown.json as Buffer, { release: shown.release as string }).bytes.equals(stored)).toBe(true);
        expect(shown.unknownFields).toBe(0);
      }),
      { numRuns: RUNS },
    );
  });

  test('YAML keeps everything, the order of members too', () => {
    fc.assert(
      fc.property(randomObject, ({ json, release }) => {
        const [document] = readDocuments(toYaml(json, release));
        expect(document?.release).toBe(release);
        expect(JSON.stringify(JSON.parse(document?.json as string))).toBe(JSON.stringify(JSON.parse(json)));
        expect(document?.json.match(/900719925474099\d/)?.[0]).toBe(json.match(/900719925474099\d/)?.[0]);
      }),
      { numRuns: 100 },
    );
  });
});

describe('bytes that Kubernetes never wrote', () => {
  const stored = goldenTriples().filter((_, i) => i % 9 === 0);

  test('random bytes are shown or refused, never worse', () => {
    fc.assert(fc.property(bytes({ maxLength: 200 }), (noise) => void orRefused(() => decodeStored(noise))));
    const envelope = Buffer.from('0a0b0a02763112054576656e74', 'hex');
    fc.assert(
      fc.property(bytes({ maxLength: 100 }), (noise) => {
        const raw = Buffer.concat([Buffer.from([0x12, noise.length]), noise]);
        orRefused(() => decodeStored(Buffer.concat([ENVELOPE_PREFIX, envelope, raw])));
      }),
    );
  });

  test('a value cut short is refused, or shown as far as it goes', () => {
    for (const { pb } of stored) {
      for (let length = 0; length < pb.length; length += 1 + Math.floor(pb.length / 40))
        orRefused(() => decodeStored(pb.subarray(0, length)));
    }
  });

  test('a value with a changed byte is shown or refused; what is shown can be encoded', () => {
    fc.assert(
      fc.property(fc.constantFrom(...stored), fc.nat(), fc.integer({ min: 0, max: 255 }), ({ pb }, place, byte) => {
        const changed = Buffer.from(pb);
        changed[4 + (place % (pb.length - 4))] = byte;
        const shown = orRefused(() => decodeStored(changed));
        if (shown?.json === undefined || shown.kind === '') return;
        expect(JSON.parse(String(shown.json))).toMatchObject({ kind: shown.kind });
        orRefused(() => encodeStored(shown.json as Buffer));
      }),
      { numRuns: 500 },
    );
  });

  test('unknown fields survive wherever they stand', () => {
    const extra = Buffer.from('c23e03616263', 'hex'); // field 1000, "abc"
    fc.assert(
      fc.property(fc.constantFrom(...stored), fc.nat(), ({ pb, name }, place) => {
        const value = insertUnknown(pb, extra, place);
        const shown = decodeStored(value);
        expect(shown.unknownFields, name).toBe(1);
        expect(String(shown.json)).toContain('@unknown');
        const again = encodeStored(shown.json as Buffer).bytes;
        expect(decodeStored(again).unknownFields).toBe(1);
        expect(again.includes(extra)).toBe(true);
      }),
      { numRuns: 200 },
    );
  });

  test('very many fields are shown or refused in a bounded time', () => {
    const repeat = (hex: string, count: number): Buffer => Buffer.alloc((hex.length / 2) * count, hex, 'hex');
    const typed = (kind: string, raw: Buffer): Buffer => {
      const type = Buffer.concat([field(1, Buffer.from('v1')), field(2, Buffer.from(kind))]);
      return Buffer.concat([ENVELOPE_PREFIX, field(1, type), field(2, raw)]);
    };
    expect(decodeStored(typed('PodList', repeat('1200', 50_000))).json?.length).toBeGreaterThan(50_000 * 20);
    expect(decodeStored(typed('ConfigMap', repeat('c23e00', 50_000))).unknownFields).toBe(50_000);
    expect(decodeStored(typed('ConfigMap', repeat('12001a00', 50_000))).unknownFields).toBe(0);
    expect(orRefused(() => decodeStored(typed('ConfigMap', repeat('c23e00', 1_100_000))))).toBeUndefined();
  });

  test('nesting without end is refused', () => {
    let schema = Buffer.alloc(0);
    // JSONSchemaProps.not (28) of itself, 3,000 deep.
    for (let i = 0; i < 3000; i++) schema = Buffer.concat([Buffer.from([0xe2, 0x01]), length(schema), schema]);
    const spec = field(2, field(7, field(4, field(1, schema))));
    const raw = Buffer.concat([field(1, Buffer.alloc(0)), spec]);
    const type = Buffer.concat([field(1, Buffer.from('apiextensions.k8s.io/v1')), field(2, Buffer.from('CustomResourceDefinition'))]);
    expect(orRefused(() => decodeStored(Buffer.concat([ENVELOPE_PREFIX, field(1, type), field(2, raw)])))).toBeUndefined();
    expect(decodeStored(Buffer.from('{"a":'.repeat(100_000))).format).toBe('text');
    expect(orRefused(() => encodeStored('['.repeat(100_000)))).toBeUndefined();
    const nested = `${'{"not":'.repeat(900)}{}${'}'.repeat(900)}`;
    const crd = `{"kind":"CustomResourceDefinition","apiVersion":"apiextensions.k8s.io/v1","spec":{"versions":[{"schema":{"openAPIV3Schema":${nested}}}]}}`;
    expect(orRefused(() => encodeStored(crd))).toBeUndefined();
    orRefused(() => toYaml(crd));
    expect(orRefused(() => readDocuments('['.repeat(100_000)))).toBeUndefined();
  });
});

/** Puts a field at the end of the object's message. */
function insertUnknown(pb: Buffer, extra: Buffer, place: number): Buffer {
  const [type, raw, ...rest] = splitFields(pb.subarray(4)) as [RawField, RawField, ...RawField[]];
  const message = raw.bytes.subarray(raw.bytes.length - contentLength(raw.bytes));
  const fields = splitFields(message).map((one) => one.bytes);
  fields.splice(place % (fields.length + 1), 0, extra);
  return Buffer.concat([ENVELOPE_PREFIX, type.bytes, field(2, Buffer.concat(fields)), ...rest.map((one) => one.bytes)]);
}

function contentLength(bytes: Buffer): number {
  let value = 0;
  for (let i = 1, shift = 0; ; i++, shift += 7) {
    value |= ((bytes[i] as number) & 0x7f) << shift;
    if ((bytes[i] as number) < 128) return value;
  }
}

function field(number: number, value: Buffer): Buffer {
  return Buffer.concat([Buffer.from([number * 8 + 2]), length(value), value]);
}

function length(value: Buffer): Buffer {
  const parts: number[] = [];
  let rest = value.length;
  for (; rest > 127; rest >>= 7) parts.push((rest & 127) | 128);
  return Buffer.from([...parts, rest]);
}
