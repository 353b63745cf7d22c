import { isCbor } from './codec/cbor.js';
import { hasEnvelope } from './codec/envelope.js';
import { isJson } from './codec/json-check.js';
import { skipValueAt, varint32At, varintEnd } from './codec/varint-at.js';
import { isEncrypted } from './decode.js';

/** A stored value found in what somebody saved. */
export interface FoundValue {
  /** The etcd key, where the output told it. */
  readonly key: Buffer | undefined;
  readonly value: Buffer;
}

const LINE_BREAK = 0x0a;

/**
 * Finds stored values in the raw output of `etcdctl get`: each a line with the key, unless
 * `--print-value-only` was given, then the value and a line break. What holds a stored value alone, as
 * it is, is that value. Bytes are only ever left off where the value itself shows that it has ended.
 */
export function storedValuesIn(bytes: Buffer): FoundValue[] {
  const found: FoundValue[] = [];
  for (let at = 0; at < bytes.length; ) {
    const one = valueAt(bytes, at);
    found.push({ key: one.key, value: bytes.subarray(one.start, one.end) });
    at = bytes[one.end] === LINE_BREAK ? one.end + 1 : one.end;
  }
  return found.length > 0 ? found : [{ key: undefined, value: bytes }];
}

function valueAt(bytes: Buffer, at: number): { key: Buffer | undefined; start: number; end: number } {
  if (isStored(bytes.subarray(at))) return { key: undefined, start: at, end: endOf(bytes, at) };
  const line = bytes.indexOf(LINE_BREAK, at);
  if (line > at && isStored(bytes.subarray(line + 1)))
    return { key: bytes.subarray(at, line), start: line + 1, end: endOf(bytes, line + 1) };
  return { key: undefined, start: at, end: bytes.length };
}

function isStored(bytes: Buffer): boolean {
  return hasEnvelope(bytes) || isEncrypted(bytes) || bytes[0] === 0x7b || isCbor(bytes);
}

/** Where a value that begins at `start` ends; the end of all bytes when it does not tell. */
function endOf(bytes: Buffer, start: number): number {
  if (hasEnvelope(bytes.subarray(start))) return envelopeEnd(bytes, start) ?? bytes.length;
  if (bytes[start] === 0x7b) return jsonEnd(bytes, start) ?? bytes.length;
  return bytes.length;
}

/** The envelope's fields come in ascending order; a line break is no tag that may follow them. */
function envelopeEnd(bytes: Buffer, start: number): number | undefined {
  let last = 0;
  let at = start + 4;
  try {
    while (at < bytes.length) {
      const tag = varint32At(bytes, at, bytes.length);
      if (tag >>> 3 <= last || (tag & 7) !== 2) break;
      last = tag >>> 3;
      at = skipValueAt(bytes, varintEnd, bytes.length, 2);
    }
  } catch {
    return undefined;
  }
  return at === bytes.length || bytes[at] === LINE_BREAK ? at : undefined;
}

/** Just past the bracket that closes the first, and past the line break that the API server stores after it. */
function jsonEnd(bytes: Buffer, start: number): number | undefined {
  let depth = 0;
  for (let at = start; at < bytes.length; at++) {
    const byte = bytes[at];
    if (byte === 0x22) at = stringEnd(bytes, at + 1);
    else if (byte === 0x7b || byte === 0x5b) depth++;
    else if ((byte === 0x7d || byte === 0x5d) && --depth === 0) return provenEnd(bytes, start, at + 1);
  }
  return undefined;
}

/** Where the closing quote stands; past all bytes when there is none. */
function stringEnd(bytes: Buffer, start: number): number {
  let at = start;
  while (at < bytes.length && bytes[at] !== 0x22) at += bytes[at] === 0x5c ? 2 : 1;
  return at;
}

function provenEnd(bytes: Buffer, start: number, end: number): number | undefined {
  if (!isJson(bytes, start, end)) return undefined;
  if (end === bytes.length) return end;
  return bytes[end] === LINE_BREAK ? end + 1 : undefined;
}
