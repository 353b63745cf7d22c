import { FerryError } from '../../src/errors.js';
import type { AuthData } from '../../src/model/auth.js';
import { batchOf, type RecordBatch } from '../../src/model/batch.js';
import type { ByteSink, ByteSource } from '../../src/model/bytes.js';
import type { KeyValue } from '../../src/model/keyvalue.js';
import type { Lease } from '../../src/model/lease.js';
import { NoteBook } from '../../src/model/note.js';
import { EVERYTHING, type Source, type SourceInfo } from '../../src/model/source.js';
import { encodeKeyValue } from '../../src/wire/keyvalue.js';

/** Bytes in memory as a source. */
export function memorySource(bytes: Buffer, name = 'memory.tar'): ByteSource & { reads: [number, number][] } {
  const reads: [number, number][] = [];
  return {
    name,
    size: bytes.length,
    reads,
    read: async (offset, length) => {
      reads.push([offset, length]);
      if (offset < 0 || offset + length > bytes.length) throw new FerryError('damaged', `${name}: no ${length} bytes at ${offset}`);
      return Buffer.from(bytes.subarray(offset, offset + length));
    },
    close: async () => {},
  };
}

/** A sink that keeps what it is given. */
export function memorySink(): ByteSink & { bytes(): Buffer } {
  const chunks: Uint8Array[] = [];
  return {
    name: 'memory.tar',
    write: async (chunk) => {
      chunks.push(chunk);
    },
    finish: async () => {},
    abort: async () => {},
    bytes: () => Buffer.concat(chunks),
  };
}

export const V3_INFO: SourceInfo = {
  kind: 'live',
  api: 'v3',
  order: 'key',
  location: 'http://127.0.0.1:2379',
  revision: 42n,
  clusterId: 0xcdf818194e3a8c32n,
  memberId: 0x8e9e05c52164694dn,
  serverVersion: '3.5.16',
  startedAt: Date.UTC(2026, 0, 2, 3, 4, 5, 678),
  selection: EVERYTHING,
};

export interface Content {
  readonly info?: Partial<SourceInfo>;
  readonly leases?: readonly (readonly Lease[])[];
  readonly auth?: AuthData;
  readonly batches: Iterable<RecordBatch> | AsyncIterable<RecordBatch>;
}

/** A source of records at hand. */
export function memoryRecords(content: Content): Source {
  return {
    info: { ...V3_INFO, ...content.info },
    notes: new NoteBook(),
    leases: async function* () {
      yield* content.leases ?? [];
    },
    auth: async () => content.auth,
    records: async function* () {
      yield* content.batches;
    },
    close: async () => {},
  };
}

/** An encoded KeyValue; revisions follow from the key's number. */
export function kv(key: string, value: string | Buffer, more: Partial<KeyValue> = {}): Buffer {
  const base = { createRevision: 2n, modRevision: 3n, version: 1n, lease: 0n };
  return encodeKeyValue({ key: Buffer.from(key), value: Buffer.from(value), ...base, ...more });
}

/** Batches of at most `size` records each. */
export function cutInto(records: readonly Buffer[], size: number): RecordBatch[] {
  const batches: RecordBatch[] = [];
  for (let i = 0; i < records.length; i += size) batches.push(batchOf(records.slice(i, i + size)));
  return batches;
}
