import { crc32c } from '../../src/wire/crc32c.js';
import { encodeFields } from '../../src/wire/fields.js';
import { cursor, readBytes, readVarint, skipField, varintLength, writeVarint } from '../../src/wire/varint.js';
import { WalWriter } from '../support/wal.js';

const WAL_CRC = 4;

/**
 * A WAL whose CRCs are right, whatever became of the records in it: so damage is not found by its CRC,
 * but by those who read what the records hold. What does not parse as a record is left as it is, at the end.
 */
export function walWithRightCrcs(wal: Buffer): Buffer {
  const writer = new WalWriter();
  let at = 0;
  while (at + 8 <= wal.length) {
    const [low, high] = [wal.readUInt32LE(at), wal.readUInt32LE(at + 4)];
    const padding = high >= 0x80000000 ? (high >>> 24) & 7 : 0;
    if (low === 0 || (high & 0xffffff) !== 0 || at + 8 + low + padding > wal.length) break;
    const record = recordIn(wal.subarray(at + 8, at + 8 + low));
    if (record === undefined) break;
    if (record.type !== WAL_CRC) writer.record(record.type, record.data);
    at += 8 + low + padding;
  }
  return Buffer.concat([writer.cut(), wal.subarray(at)]);
}

function recordIn(bytes: Buffer): { readonly type: number; readonly data: Buffer } | undefined {
  let type = 0;
  let data: Buffer = Buffer.alloc(0);
  try {
    for (const c = cursor(bytes); c.at < c.end; ) {
      const tag = readVarint(c);
      if (tag === 0x08) type = readVarint(c);
      else if (tag === 0x1a) data = readBytes(c);
      else skipField(c, tag & 7);
    }
  } catch {
    return undefined;
  }
  return { type, data };
}

/** A `.snap` file around these bytes, or around the content of one that is there already, with the CRC they have. */
export function snapFile(bytes: Buffer): Buffer {
  const inner = innerOf(bytes) ?? bytes;
  const head = Buffer.alloc(1 + varintLength(inner.length));
  head[0] = 0x12;
  writeVarint(head, 1, inner.length);
  return Buffer.concat([encodeFields([[0x08, BigInt(crc32c(inner))]]), head, inner]);
}

function innerOf(bytes: Buffer): Buffer | undefined {
  try {
    const c = cursor(bytes);
    if (readVarint(c) !== 0x08) return undefined;
    readVarint(c);
    if (readVarint(c) !== 0x12) return undefined;
    readVarint(c);
    return bytes.subarray(c.at);
  } catch {
    return undefined;
  }
}
