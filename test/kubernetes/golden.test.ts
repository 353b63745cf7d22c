import { describe, expect, test } from 'vitest';
import { decodeStored } from '../../src/kubernetes/decode.js';
import { encodeStored } from '../../src/kubernetes/encode.js';
import { readDocuments } from '../../src/kubernetes/yaml.js';
import { goldenTriples } from './golden.js';

// Kubernetes' own conformance suite for its serializations: every kind, eleven sets of releases.
describe("Kubernetes' golden files", () => {
  const triples = goldenTriples();

  test('stored bytes become the JSON that Kubernetes writes', () => {
    const wrong: string[] = [];
    for (const { name, found, json, pb } of triples) {
      const value = decodeStored(pb);
      // Member for member in the order of Kubernetes; only the escapes of < > & are spelled otherwise in the files.
      const same = unescaped(value.json) === unescaped(Buffer.from(json));
      if (!same || !value.isKnownKind || value.unknownFields > 0) wrong.push(`${name} of ${found}`);
    }
    expect(wrong).toEqual([]);
  });

  // Releases that differ only in which zeros they write cannot be told apart by JSON, where zeros are left out.
  const AMBIGUOUS = [
    'certificates.k8s.io.v1beta1.CertificateSigningRequest of 1.20/v1.18.0',
    'core.v1.Event of 1.20/v1.18.0',
    'core.v1.ListOptions of 1.20/v1.18.0',
    'core.v1.PodStatusResult of 1.32/v1.30.0',
  ];

  test('JSON becomes the stored bytes', () => {
    const different: string[] = [];
    for (const { name, found, json, pb } of triples) {
      if (encodeStored(json).bytes.equals(pb)) continue;
      different.push(`${name} of ${found.join(' ')}`);
      const release = /v(1\.\d+)\./.exec(found[0] ?? '')?.[1] ?? '';
      expect(encodeStored(json, { release }).bytes.equals(pb), `${name} of ${release}`).toBe(true);
    }
    expect(different).toEqual(AMBIGUOUS);
  });

  test('what was decoded is encoded to the same bytes', () => {
    const wrong: string[] = [];
    for (const { name, found, pb } of triples) {
      const { json, release = 'none' } = decodeStored(pb);
      if (!encodeStored(json as Buffer, { release }).bytes.equals(pb)) wrong.push(`${name} of ${found}`);
    }
    expect(wrong).toEqual([]);
  });

  test('YAML becomes the stored bytes too', () => {
    const wrong: string[] = [];
    // One of each name: reading YAML takes its time.
    for (const { name, found, yaml, pb } of new Map(triples.map((triple) => [triple.name, triple])).values()) {
      const [document] = readDocuments(yaml);
      // A raw object (RawExtension) has its members in the order of the file, which in YAML is that of the alphabet.
      const { json, release = 'none' } = decodeStored(
        encodeStored(document?.json ?? '', { release: decodeStored(pb).release ?? 'none' }).bytes,
      );
      if (release !== decodeStored(pb).release || sorted(String(json)) !== sorted(String(decodeStored(pb).json)))
        wrong.push(`${name} of ${found}`);
    }
    expect(wrong).toEqual([]);
  });

  test('there are as many as there were', () => {
    const files = triples.reduce((sum, triple) => sum + triple.found.length, 0);
    console.log(`compared ${triples.length} distinct triples, found in ${files} golden files of Kubernetes`);
    expect(files).toBeGreaterThanOrEqual(1614);
  });
});

function unescaped(json: Buffer | undefined): string {
  return String(json).replace(/\\u00(3c|3e|26)/g, (_, code: string) => String.fromCharCode(Number.parseInt(code, 16)));
}

/** The same JSON, in one order of members. */
function sorted(json: string): string {
  return JSON.stringify(JSON.parse(json), (_, value: unknown) =>
    typeof value === 'object' && value !== null && !Array.isArray(value) ? Object.fromEntries(Object.entries(value).sort()) : value,
  );
}
