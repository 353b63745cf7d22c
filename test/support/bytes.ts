import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { FerryError } from '../../src/errors.js';
import type { ByteSource } from '../../src/model/bytes.js';

/** Bytes in memory as a source. */
export function memorySource(bytes: Buffer, name = 'memory'): ByteSource {
  const slice = (offset: number, length: number): Buffer => {
    if (offset + length > bytes.length) throw new FerryError('damaged', `${name}: nothing at ${offset}, +${length}`);
    return bytes.subarray(offset, offset + length);
  };
  return {
    name,
    size: bytes.length,
    read: async (offset, length) => Buffer.from(slice(offset, length)),
    readInto: async (target, offset) => {
      target.set(slice(offset, target.length));
    },
    close: async () => {},
  };
}

/** A gzipped file of testdata/, unpacked. */
export function testdata(path: string): Buffer {
  return gunzipSync(readFileSync(join(import.meta.dirname, '../../testdata', path)));
}

/** A gzip member as archives have it: without an operating system in its header. */
export function gzipMember(raw: Uint8Array, level = 1): Buffer {
  const member = gzipSync(raw, { level });
  member[9] = 255;
  return member;
}
