/** Castagnoli's polynomial, reflected (RFC 3720, section 12.1; Go's `crc32.Castagnoli`). */
const POLYNOMIAL = 0x82f63b78;
const SLICES = 16;
const TABLES = makeTables();

/**
 * CRC-32C of bytes, as etcd's WAL, `.snap` files and HashKV use it (Go's
 * `crc32.Update(crc, crc32.MakeTable(crc32.Castagnoli), bytes)`). Sixteen bytes a step, by tables.
 *
 * @param crc what came before, to go on from; 0 for nothing
 * @returns an unsigned 32-bit integer
 */
export function crc32c(bytes: Uint8Array, crc = 0): number {
  const t = TABLES;
  const n = bytes.length;
  let c = ~crc;
  let i = 0;
  for (const last = n - SLICES; i <= last; i += SLICES) {
    c ^= byte(bytes, i) | (byte(bytes, i + 1) << 8) | (byte(bytes, i + 2) << 16) | (byte(bytes, i + 3) << 24);
    c =
      byte(t, 0xf00 + (c & 0xff)) ^
      byte(t, 0xe00 + ((c >>> 8) & 0xff)) ^
      byte(t, 0xd00 + ((c >>> 16) & 0xff)) ^
      byte(t, 0xc00 + (c >>> 24)) ^
      byte(t, 0xb00 + byte(bytes, i + 4)) ^
      byte(t, 0xa00 + byte(bytes, i + 5)) ^
      byte(t, 0x900 + byte(bytes, i + 6)) ^
      byte(t, 0x800 + byte(bytes, i + 7)) ^
      byte(t, 0x700 + byte(bytes, i + 8)) ^
      byte(t, 0x600 + byte(bytes, i + 9)) ^
      byte(t, 0x500 + byte(bytes, i + 10)) ^
      byte(t, 0x400 + byte(bytes, i + 11)) ^
      byte(t, 0x300 + byte(bytes, i + 12)) ^
      byte(t, 0x200 + byte(bytes, i + 13)) ^
      byte(t, 0x100 + byte(bytes, i + 14)) ^
      byte(t, byte(bytes, i + 15));
  }
  for (; i < n; i++) c = (c >>> 8) ^ byte(t, (c ^ byte(bytes, i)) & 0xff);
  return ~c >>> 0;
}

/** What the loop's index proves is there; inlined by the engine. */
function byte(array: Uint8Array | Int32Array, at: number): number {
  return array[at] as number;
}

/** Table k (at offset k * 256) advances a byte over k further zero bytes. */
function makeTables(): Int32Array {
  const tables = new Int32Array(SLICES * 256);
  for (let i = 0; i < 256; i++) {
    let c = i;
    for (let bit = 0; bit < 8; bit++) c = (c >>> 1) ^ (c & 1 ? POLYNOMIAL : 0);
    tables[i] = c;
  }
  for (let i = 256; i < tables.length; i++) {
    const c = byte(tables, i - 256);
    tables[i] = (c >>> 8) ^ byte(tables, c & 0xff);
  }
  return tables;
}
