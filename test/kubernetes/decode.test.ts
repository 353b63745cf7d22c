import { isUtf8 } from 'node:buffer';
import { describe, expect, test } from 'vitest';
import { cborToJson } from '../../src/kubernetes/codec/cbor.js';
import { ENVELOPE_PREFIX, openEnvelope, wrapInEnvelope } from '../../src/kubernetes/codec/envelope.js';
import { decodeStored } from '../../src/kubernetes/decode.js';
import { encodeStored } from '../../src/kubernetes/encode.js';
import { realLines, realRecords } from './real.js';

interface Truth {
  readonly key: string;
  readonly mod: number;
  readonly decodeErr?: string;
}

describe('values stored by a real API server (1.20)', () => {
  test('protobuf equals what Kubernetes itself makes of it, line for line', async () => {
    const records = await realRecords('plain.db.gz');
    const truth = realLines('plain.truth.ndjson.gz');
    expect(records.length).toBe(truth.length);
    let compared = 0;
    const wrong: string[] = [];
    for (const [i, { key, value, modRevision }] of records.entries()) {
      const line = truth[i] as string;
      const { key: wantedKey, mod, decodeErr } = JSON.parse(line) as Truth;
      // The snapshot was taken a moment after the truth: one key had been written again.
      if (modRevision !== BigInt(mod) || decodeErr !== undefined) continue;
      // The truth was passed through float64 where it was put together: this number lost its last digit.
      const wanted = line
        .slice(line.indexOf('"json":') + 7, line.lastIndexOf(',"key":'))
        .replace('"revision":9007199254740992', '"revision":9007199254740993');
      if (String(key) !== wantedKey || String(decodeStored(value).json) !== wanted) wrong.push(wantedKey);
      compared++;
    }
    expect(wrong).toEqual([]);
    expect(compared).toBe(268);
  });

  test('what was decoded is encoded to the same bytes', async () => {
    const wrong: string[] = [];
    for (const { key, value } of await realRecords('plain.db.gz')) {
      const { format, json, release } = decodeStored(value);
      if (format !== 'protobuf') continue;
      if (!encodeStored(json as Buffer, { release: release as string }).bytes.equals(value)) wrong.push(String(key));
    }
    expect(wrong).toEqual([]);
  });

  test('JSON storage is shown as it is, and written again as it was', async () => {
    const wrong: string[] = [];
    const formats = new Map<string, number>();
    for (const { key, value } of await realRecords('json-storage.db.gz')) {
      const { format, kind, json } = decodeStored(value);
      formats.set(format, (formats.get(format) ?? 0) + 1);
      const again = encodeStored(json as Buffer, { storage: 'json' }).bytes;
      if (kind === '' || `${json}\n` !== value.toString() || !again.equals(value)) wrong.push(String(key));
    }
    expect(wrong).toEqual([]);
    expect(Object.fromEntries(formats)).toEqual({ json: 317 });
  });

  test('JSON storage and protobuf storage hold the same objects', async () => {
    const stored = new Map((await realRecords('plain.db.gz')).map(({ key, value }) => [String(key), value]));
    let same = 0;
    for (const { key, value } of await realRecords('json-storage.db.gz')) {
      const other = stored.get(String(key));
      if (other === undefined || decodeStored(other).format !== 'protobuf') continue;
      const { json } = decodeStored(value);
      const decoded = decodeStored(encodeStored(json as Buffer, { release: '1.20' }).bytes).json;
      // Protobuf has no empty list, and no kind of an object within another.
      const kept = String(json)
        .replace(/"rules":\[\]/g, '"rules":null')
        .replace(/"volumeClaimTemplates":\[\{"kind":"PersistentVolumeClaim","apiVersion":"v1",/g, '"volumeClaimTemplates":[{');
      if (String(decoded) === kept) same++;
    }
    expect(same).toBe(269);
  });
});

describe('decodeStored', () => {
  const pod = '{"kind":"Pod","apiVersion":"v1","metadata":{"name":"p"},"spec":{"containers":null},"status":{}}';

  test('fields that no release knows are kept, shown, and written again', () => {
    const { bytes } = encodeStored(pod);
    // Field 1000 (a varint) in the pod, field 2000 (bytes) in an inlined volume source.
    const withVolume = encodeStored(
      pod
        .replace('"containers"', '"volumes":[{"name":"v","@unknown.2":"gn0DYWJj"}],"containers"')
        .replace('"status"', '"@unknown":"wD4B","status"'),
    ).bytes;
    const shown = decodeStored(withVolume);
    expect(shown).toMatchObject({ format: 'protobuf', kind: 'Pod', unknownFields: 2, release: undefined });
    expect(String(shown.json)).toContain('{"name":"v","@unknown.2":"gn0DYWJj"}');
    expect(String(shown.json)).toContain('"@unknown":"wD4B"}');
    expect(encodeStored(shown.json as Buffer).bytes.equals(withVolume)).toBe(true);
    expect(bytes.length).toBeLessThan(withVolume.length);
  });

  test('text that is not UTF-8 is shown with U+FFFD, and no release is said to write it so', () => {
    const stored = Buffer.from(encodeStored(pod.replace('"name":"p"', '"name":"p!"')).bytes);
    stored[stored.indexOf('p!') + 1] = 0xff;
    expect(decodeStored(stored)).toMatchObject({ format: 'protobuf', kind: 'Pod', release: undefined });
    expect(String(decodeStored(stored).json)).toContain('"name":"p\\ufffd"');
  });

  test('a value that is absent in a map of bytes is shown as empty, and no release is said to write it so again', () => {
    const secret = (data: string): Buffer =>
      encodeStored(`{"kind":"Secret","apiVersion":"v1","metadata":{"name":"s"},"data":${data}}`).bytes;
    // What is null in JSON has no value in protobuf.
    const [absent, empty] = [secret('{"a":null,"b":""}'), secret('{"a":"","b":""}')];
    expect(absent.length).toBe(empty.length - 2);
    expect(decodeStored(absent)).toMatchObject({ format: 'protobuf', release: undefined, unknownFields: 0 });
    expect(String(decodeStored(absent).json)).toBe(String(decodeStored(empty).json));
    expect(encodeStored(decodeStored(absent).json as Buffer).bytes.equals(empty)).toBe(true);
  });

  test("a number that is written longer than it has to be is no release's writing", () => {
    const stored = encodeStored(pod.replace('"name":"p"', '"name":"p","generation":77,"creationTimestamp":"2020-01-01T00:00:00Z"')).bytes;
    expect(decodeStored(stored).release).toBeDefined();
    const { rawStart, rawEnd, ...type } = openEnvelope(stored);
    const raw = stored.subarray(rawStart, rawEnd);
    // One byte more in the metadata, which come first.
    const at = raw.indexOf(Buffer.from([0x38, 77])) + 1;
    const metadata = Buffer.from([raw[0] as number, (raw[1] as number) + 1]);
    const longer = wrapInEnvelope(type, Buffer.concat([metadata, raw.subarray(2, at), Buffer.from([77 | 0x80, 0]), raw.subarray(at + 1)]));
    const shown = decodeStored(longer);
    expect(shown).toMatchObject({ kind: 'Pod', release: undefined });
    expect(String(shown.json)).toContain('"generation":77');
  });

  test('JSON that is there with nothing in it is read as the releases have it that always write the field', () => {
    const claim = (release: string) =>
      encodeStored(
        '{"kind":"ResourceClaim","apiVersion":"resource.k8s.io/v1beta1","status":{"devices":[{"device":"d","networkData":{}}]}}',
        { release },
      ).bytes;
    for (const release of ['1.32', '1.36']) {
      const stored = claim(release);
      const shown = decodeStored(stored);
      expect(encodeStored(shown.json as Buffer, { release: shown.release as string }).bytes.equals(stored)).toBe(true);
    }
    expect(claim('1.32').equals(claim('1.36'))).toBe(false);
  });

  test('JSON within an object that is not UTF-8 is shown as bytes that no release knows', () => {
    const json = pod.replace('"name":"p"', '"name":"p","managedFields":[{"fieldsV1":{"f:x!":{}}}]');
    const stored = Buffer.from(encodeStored(json).bytes);
    stored[stored.indexOf('f:x!') + 3] = 0xe1;
    const shown = decodeStored(stored);
    expect(shown).toMatchObject({ kind: 'Pod', release: undefined });
    expect(isUtf8(shown.json as Buffer)).toBe(true);
    expect(encodeStored(shown.json as Buffer).bytes.equals(stored)).toBe(true);
  });

  test('stored JSON that is not UTF-8 is shown with U+FFFD', () => {
    const stored = Buffer.from('{"kind":"Widget","apiVersion":"x.io/v1","a":"!"}\n');
    stored[stored.indexOf('!')] = 0xff;
    expect(decodeStored(stored)).toMatchObject({
      format: 'json',
      kind: 'Widget',
      json: Buffer.from('{"kind":"Widget","apiVersion":"x.io/v1","a":"\ufffd"}'),
    });
  });

  test("a field more around the object, or one in another place, is no release's writing", () => {
    const stored = encodeStored(pod).bytes;
    expect(decodeStored(stored).release).toBeDefined();
    const field = Buffer.from([0x48, 1]);
    const type = stored.subarray(4, stored.indexOf(0x12, 4 + 2 + (stored[5] as number)));
    const others = [
      Buffer.concat([stored, field]),
      Buffer.concat([stored.subarray(0, 4), field, stored.subarray(4)]),
      Buffer.concat([stored.subarray(0, 4), type, stored.subarray(4)]),
      stored.subarray(0, -2),
      Buffer.concat([stored.subarray(0, -4), stored.subarray(-2), stored.subarray(-4, -2)]),
    ];
    for (const other of others) expect(decodeStored(other)).toMatchObject({ kind: 'Pod', release: undefined });
  });

  test('a kind that no release knows is named, and kept as it is', () => {
    const stored = Buffer.concat([
      ENVELOPE_PREFIX,
      Buffer.from('0a140a0d6e65772e696f2f7631626574611203466f6f', 'hex'),
      Buffer.from('12020801', 'hex'),
      Buffer.from('1a002200', 'hex'),
    ]);
    const shown = decodeStored(stored);
    expect(shown).toMatchObject({ format: 'protobuf', apiVersion: 'new.io/v1beta', kind: 'Foo', isKnownKind: false });
    expect(JSON.parse(String(shown.json))).toEqual({ kind: 'Foo', apiVersion: 'new.io/v1beta', '@raw': 'CAE=' });
    expect(encodeStored(shown.json as Buffer).bytes.equals(stored)).toBe(true);
  });

  test('CBOR is shown as JSON', () => {
    // Names as byte strings, the way Kubernetes writes them.
    const cbor = Buffer.concat([
      Buffer.from('d9d9f7a3', 'hex'),
      text('apiVersion'),
      text('ex.io/v1'),
      text('kind'),
      text('Koo'),
      text('spec'),
      Buffer.from('a2', 'hex'),
      text('a'),
      Buffer.from('8402f5f620', 'hex'),
      text('b'),
      Buffer.from('fb3ff8000000000000', 'hex'),
    ]);
    expect(decodeStored(cbor)).toMatchObject({ format: 'cbor', kind: 'Koo', apiVersion: 'ex.io/v1' });
    expect(String(decodeStored(cbor).json)).toBe('{"apiVersion":"ex.io/v1","kind":"Koo","spec":{"a":[2,true,null,-1],"b":1.5}}');
    expect(() => cborToJson(cbor.subarray(0, 20))).toThrow();
  });

  test('text and other bytes are told apart', () => {
    expect(decodeStored(Buffer.from('12345')).format).toBe('text');
    expect(decodeStored(Buffer.from('{"cut')).format).toBe('text');
    expect(decodeStored(Buffer.from([1, 2, 3])).format).toBe('binary');
    expect(decodeStored(Buffer.from('k8s:enc:aescbc:v1:k:xxxx')).format).toBe('encrypted');
    expect(decodeStored(Buffer.alloc(0)).format).toBe('text');
  });
});

function text(value: string): Buffer {
  return Buffer.concat([Buffer.from([0x40 + value.length]), Buffer.from(value)]);
}
