import { formatDuration } from './duration.js';
import { isUtf8Json } from './json-check.js';
import type { JsonOutput } from './json-output.js';
import { MISFIT } from './misfit.js';
import { canonicalQuantity } from './quantity.js';
import { formatTime, GO_ZERO_SECONDS } from './time.js';
import { int64At, varint32At, varintEnd } from './varint-at.js';

/** Largest second Go's time writes as a year of four digits. */
const LAST_SECOND = 253_402_300_799;

/** A varint as a JSON number, with all its digits. */
export function writeInt64(out: JsonOutput, value: number | bigint): void {
  if (typeof value === 'number') out.integer(value);
  else out.ascii(String(value));
}

/** A double as Go's encoding/json writes it, which is as JavaScript does but for -0. */
export function writeDouble(out: JsonOutput, bytes: Buffer, at: number): void {
  const value = bytes.readDoubleLE(at);
  if (!Number.isFinite(value)) throw MISFIT;
  out.ascii(Object.is(value, -0) ? '-0' : String(value));
}

/** Whether a meta/v1.Time or MicroTime is Go's zero time: null in JSON. */
export function isZeroTime(bytes: Buffer, start: number, end: number): boolean {
  return start === end || (bytes[start] === 0x08 && int64At(bytes, start + 1, end) === GO_ZERO_SECONDS);
}

/** meta/v1.Time and MicroTime: Timestamp{seconds=1, nanos=2}; nothing at all is the zero time. */
export function writeTime(out: JsonOutput, bytes: Buffer, start: number, end: number, micro: boolean): void {
  if (start === end) {
    out.ascii('null');
    return;
  }
  expect(bytes[start] === 0x08);
  const seconds = int64At(bytes, start + 1, end);
  const nanosAt = varintEnd;
  expect(bytes[nanosAt] === 0x10);
  const nanos = int64At(bytes, nanosAt + 1, end);
  expect(varintEnd === end && typeof seconds === 'number' && typeof nanos === 'number');
  if (seconds === GO_ZERO_SECONDS && (!micro || nanos === 0)) {
    out.ascii('null');
    return;
  }
  expect((seconds as number) > GO_ZERO_SECONDS && (seconds as number) <= LAST_SECOND && nanos >= 0 && nanos < 1e9);
  // Kubernetes shows neither a Time's fraction nor a MicroTime's nanoseconds, and writes neither.
  expect(micro ? Number(nanos) % 1000 === 0 : nanos === 0);
  out.ascii(`"${formatTime(seconds as number, micro ? Number(nanos) / 1000 : undefined)}"`);
}

/** meta/v1.Duration{duration=1}. */
export function writeDuration(out: JsonOutput, bytes: Buffer, start: number, end: number): void {
  expect(bytes[start] === 0x08 && start < end);
  const nanos = int64At(bytes, start + 1, end);
  expect(varintEnd === end);
  const text = Buffer.from(formatDuration(BigInt(nanos)));
  out.string(text, 0, text.length);
}

/** resource.Quantity{string=1}. */
export function writeQuantity(out: JsonOutput, bytes: Buffer, start: number, end: number): void {
  const textAt = onlyField(bytes, start, end);
  if (!isPlainNumber(bytes, textAt, end)) {
    const text = bytes.toString('latin1', textAt, end);
    expect(canonicalQuantity(text) === text);
  }
  out.string(bytes, textAt, end);
}

/** intstr.IntOrString{type=1, intVal=2, strVal=3}: all three always written, one of them shown. */
export function writeIntOrString(out: JsonOutput, bytes: Buffer, start: number, end: number): void {
  expect(end - start >= 6 && bytes[start] === 0x08 && bytes[start + 2] === 0x10);
  const isString = bytes[start + 1] === 1;
  expect(isString || bytes[start + 1] === 0);
  const number = int64At(bytes, start + 3, end);
  const tagAt = varintEnd;
  expect(tagAt < end && bytes[tagAt] === 0x1a);
  const length = varint32At(bytes, tagAt + 1, end);
  const textAt = varintEnd;
  expect(textAt + length === end && (isString ? number === 0 : length === 0) && isInt32(number));
  if (isString) out.string(bytes, textAt, end);
  else writeInt64(out, number);
}

/** RawExtension, FieldsV1 and the like: JSON text as it was stored, byte for byte. */
export function writeRaw(out: JsonOutput, bytes: Buffer, start: number, end: number): void {
  if (start === end) {
    out.ascii('null');
    return;
  }
  const textAt = onlyField(bytes, start, end);
  // A line break would break the JSON line apart.
  expect(isUtf8Json(bytes, textAt, end) && !bytes.subarray(textAt, end).includes(0x0a) && !isNull(bytes, textAt, end));
  out.copy(bytes, textAt, end);
}

/** @returns where the contents of a message begin that is one length-delimited field 1 */
export function onlyField(bytes: Buffer, start: number, end: number): number {
  expect(start < end && bytes[start] === 0x0a);
  const length = varint32At(bytes, start + 1, end);
  expect(varintEnd + length === end);
  return varintEnd;
}

export function isInt32(value: number | bigint): boolean {
  return typeof value === 'number' && value >= -0x80000000 && value <= 0x7fffffff;
}

/** Up to 15 digits without leading or three trailing zeros: canonical at a glance. */
function isPlainNumber(bytes: Buffer, start: number, end: number): boolean {
  if (end - start > 15 || start === end || bytes[start] === 0x30) return false;
  for (let i = start; i < end; i++) if ((bytes[i] as number) < 0x30 || (bytes[i] as number) > 0x39) return false;
  return end - start < 4 || bytes[end - 1] !== 0x30 || bytes[end - 2] !== 0x30 || bytes[end - 3] !== 0x30;
}

function isNull(bytes: Buffer, start: number, end: number): boolean {
  return end - start === 4 && bytes[start] === 0x6e;
}

function expect(condition: boolean): void {
  if (!condition) throw MISFIT;
}
