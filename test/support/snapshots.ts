import { createHash } from 'node:crypto';
import { tmpdir } from 'node:os';
import { setImmediate } from 'node:timers/promises';
import type { RecordBatch } from '../../src/model/batch.js';
import type { KeyValue } from '../../src/model/keyvalue.js';
import type { Lease } from '../../src/model/lease.js';
import { quietRun } from '../../src/model/run.js';
import { EVERYTHING, type Source } from '../../src/model/source.js';
import { openSnapshotFile, type SnapshotFileOptions } from '../../src/readers/snapshot-file.js';
import { decodeKeyValue } from '../../src/wire/keyvalue.js';
import { memorySource, testdata } from './bytes.js';

/** Opens the bytes of a snapshot file as a source. */
export async function snapshotSource(file: Buffer, options: Partial<SnapshotFileOptions> = {}): Promise<Source> {
  // Bytes in memory never wait: without a turn of the event loop what weak references point to is kept, megabytes a file.
  await setImmediate();
  return openSnapshotFile(memorySource(file), { location: 'memory', selection: EVERYTHING, tmpDir: tmpdir(), ...options }, quietRun());
}

/** All records of a source, as their own copies. */
export async function recordsOf(source: Source): Promise<Buffer[]> {
  const records: Buffer[] = [];
  for await (const batch of source.records()) records.push(...split(batch));
  return records;
}

export function split(batch: RecordBatch): Buffer[] {
  return Array.from({ length: batch.count }, (_, i) => Buffer.from(batch.bytes.subarray(batch.starts[i], batch.ends[i])));
}

export async function leasesOf(source: Source): Promise<Lease[]> {
  const leases: Lease[] = [];
  for await (const some of source.leases()) leases.push(...some);
  return leases;
}

export async function keyValuesOf(source: Source): Promise<KeyValue[]> {
  return (await recordsOf(source)).map((record) => decodeKeyValue(record));
}

/** What can be compared quickly: comparing buffers byte by byte in an assertion takes minutes. */
export function comparable(records: readonly KeyValue[] | readonly Buffer[]): string[] {
  const digest = (bytes: Buffer): string => `${bytes.length}:${createHash('sha1').update(bytes).digest('hex')}`;
  return records.map((record) => {
    if (Buffer.isBuffer(record)) return digest(record);
    const { key, value, createRevision, modRevision, version, lease } = record;
    return `${key.toString('hex')} ${digest(value)} ${createRevision} ${modRevision} ${version} ${lease}`;
  });
}

/** What `etcdctl get "" --from-key -w json` printed, numbers exact. */
export function parseRange(json: string): { revision: bigint; kvs: KeyValue[] } {
  // Lease ids are larger than a number holds.
  const exact = json.replace(/"(create_revision|mod_revision|version|lease|revision)":(\d+)/g, '"$1":"$2"');
  const answer = JSON.parse(exact) as { header: { revision: string }; kvs?: Record<string, string>[] };
  const kvs = (answer.kvs ?? []).map((kv) => ({
    key: Buffer.from(kv.key ?? '', 'base64'),
    value: Buffer.from(kv.value ?? '', 'base64'),
    createRevision: BigInt(kv.create_revision ?? 0),
    modRevision: BigInt(kv.mod_revision ?? 0),
    version: BigInt(kv.version ?? 0),
    lease: BigInt(kv.lease ?? 0),
  }));
  return { revision: BigInt(answer.header.revision), kvs };
}

/** The real servers' data sets in testdata/etcd-v3, and what those servers said of them. */
export const V3_DATA = ['v3-34', 'v3-35'].map((name) => ({
  name,
  file: testdata(`etcd-v3/${name}.db.gz`),
  all: parseRange(testdata(`etcd-v3/${name}.all.json.gz`).toString()),
}));
