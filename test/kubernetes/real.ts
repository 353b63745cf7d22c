import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import type { KeyValue } from '../../src/model/keyvalue.js';
import { keyValuesOf, snapshotSource } from '../support/snapshots.js';

const DIRECTORY = join(import.meta.dirname, '../../testdata/kubernetes/1.20');

/** A file of testdata/kubernetes/1.20, unpacked where it is packed. */
export function realFile(name: string): Buffer {
  const bytes = readFileSync(join(DIRECTORY, name));
  return name.endsWith('.gz') ? gunzipSync(bytes) : bytes;
}

/** All records of a database file of testdata/kubernetes/1.20, in key order. */
export async function realRecords(name: string): Promise<KeyValue[]> {
  const source = await snapshotSource(realFile(name));
  try {
    return await keyValuesOf(source);
  } finally {
    await source.close();
  }
}

/** The lines of a file. */
export function realLines(name: string): string[] {
  return realFile(name).toString().trimEnd().split('\n');
}
