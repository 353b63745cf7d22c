import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { parseAuth } from '../../src/archive/auth.js';
import { parseEnd } from '../../src/archive/end.js';
import { parseHeader } from '../../src/archive/header.js';
import { decodeLease } from '../../src/archive/leases.js';
import { parseFrameManifest, parseManifest } from '../../src/archive/manifest.js';
import { proveArchive } from '../../src/archive/prove.js';
import { FerryError } from '../../src/errors.js';
import { decodeStored } from '../../src/kubernetes/decode.js';
import { quietRun } from '../../src/model/run.js';
import { decodeKeyValue } from '../../src/wire/keyvalue.js';
import { decodeNode } from '../../src/wire/node.js';
import { openSnap } from '../../src/wire/snap.js';
import { WalReader } from '../../src/wire/wal.js';
import { entriesOf } from '../archive/samples.js';
import { memorySource, testdata } from '../support/bytes.js';
import { keyValuesOf, recordsOf, snapshotSource } from '../support/snapshots.js';
import { archive } from './damaged-archives.js';
import { fuzz, type Parser } from './fuzz.js';

/** A moment for each parser always; `SOAK=1` gives each `FUZZ_SECONDS` (60), `FAULT_SEED` another seed. */
const MILLISECONDS = process.env.SOAK === undefined ? 300 : Number(process.env.FUZZ_SECONDS ?? 60) * 1000;
const SEED = Number(process.env.FAULT_SEED ?? (process.env.SOAK === undefined ? 42 : Date.now() % 1e9));

const archives = ['v1-key.tar', 'v1-revision.tar', 'v1-tree.tar', 'v0-gzip.tar', 'v0-zstd.tar'].map(archive);
const named = (name: string): Buffer[] =>
  archives.flatMap((bytes) => entriesOf(bytes).flatMap((entry) => (entry.name === name ? [Buffer.from(entry.content)] : [])));
const nodes = gunzipSync(named('segments/000000.pb.gz')[2] as Buffer);
const fromTar = (tar: string, file: string): Buffer =>
  execFileSync('tar', ['xzOf', join(import.meta.dirname, '../../testdata', tar), file], { maxBuffer: 1 << 28 });
const SNAP = 'data/member/snap/0000000000000002-000000000000012d.snap';
const WAL = 'data/member/wal/0000000000000000-0000000000000000.wal';

async function parsers(): Promise<Parser[]> {
  const plain = await snapshotSource(testdata('kubernetes/1.20/plain.db.gz'));
  const values = (await keyValuesOf(plain)).map(({ value }) => value);
  const records = (await recordsOf(plain)).slice(0, 50);
  const wal = async (bytes: Buffer): Promise<void> => {
    for await (const run of new WalReader([memorySource(bytes)]).records()) if (run.length < 0) return;
  };
  return [
    { name: 'an archive', corpus: archives, parse: (bytes) => proveArchive(memorySource(bytes), quietRun()) },
    { name: 'etcdferry.json', corpus: named('etcdferry.json'), parse: (bytes) => parseHeader(bytes, 1, 'x') },
    { name: 'auth.json', corpus: named('auth.json'), parse: (bytes) => parseAuth(bytes, 'x') },
    { name: 'manifest.json', corpus: named('manifest.json'), parse: (bytes) => parseManifest(parseFrameManifest(bytes, 'x'), bytes, 'x') },
    { name: 'end', corpus: named('end'), parse: (bytes) => parseEnd(bytes, 'x') },
    { name: 'a lease', corpus: [gunzipSync(named('leases/000000.pb.gz')[0] as Buffer).subarray(1, 30)], parse: decodeLease },
    { name: 'a KeyValue', corpus: records, parse: (bytes) => decodeKeyValue(bytes) },
    { name: 'a Node', corpus: [nodes.subarray(1, 40), nodes.subarray(1, 400)], parse: (bytes) => decodeNode(bytes) },
    { name: 'a stored value', corpus: values, parse: decodeStored },
    { name: 'a .snap', corpus: [fromTar('etcd-v2/v34.data-dir.tar.gz', SNAP)], parse: (bytes) => openSnap(memorySource(bytes)) },
    { name: 'a WAL', corpus: [fromTar('etcd-v2/v34.data-dir.tar.gz', WAL).subarray(0, 60_000)], parse: wal },
    {
      name: 'a snapshot file',
      corpus: [testdata('kubernetes/1.20/plain.db.gz')],
      parse: async (bytes) => recordsOf(await snapshotSource(bytes, { skipHashCheck: true })),
    },
  ];
}

test('no parser answers hostile bytes with anything but a FerryError', { timeout: 120_000 + 30 * MILLISECONDS }, async () => {
  const problems: string[] = [];
  for (const parser of await parsers()) {
    const result = await fuzz(parser, { seed: SEED, milliseconds: MILLISECONDS, isExpected: (thrown) => thrown instanceof FerryError });
    console.log(`fuzz, seed ${SEED}: ${parser.name}: ${result.inputs} inputs, ${result.kept} batches reached new code`);
    problems.push(...result.problems);
  }
  expect(problems).toEqual([]);
});
