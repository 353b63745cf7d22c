import { FerryError } from '../../errors.js';
import { varintLength, writeVarint } from '../../wire/varint.js';
import { BackWriter } from './back-writer.js';
import { cborToJson, isCbor } from './cbor.js';
import { isUtf8Json } from './json-check.js';
import { compactJson } from './json-tree.js';
import { canonicalQuantity } from './quantity.js';
import { GO_ZERO_SECONDS } from './time.js';
import { type RawField, splitFields } from './unknown-fields.js';
import { int64At, varint32At, varintEnd } from './varint-at.js';

const LAST_SECOND = 253_402_300_799n;

/** Puts a Time or MicroTime as Kubernetes writes it. @returns undefined for what JSON cannot show */
export function normalTime(bytes: Buffer, micro: boolean): Buffer | undefined {
  const fields = integers(bytes, [1, 2]);
  if (fields === undefined) return undefined;
  const [seconds = 0n, given = 0n] = fields;
  const nanos = micro ? given - (given % 1000n) : 0n;
  if (bytes.length === 0 || (seconds === BigInt(GO_ZERO_SECONDS) && nanos === 0n)) return Buffer.alloc(0);
  if (seconds <= GO_ZERO_SECONDS || seconds > LAST_SECOND || given < 0n || given >= 1_000_000_000n) return undefined;
  const out = new BackWriter();
  out.varint(nanos);
  out.byte(0x10);
  out.varint(seconds);
  out.byte(0x08);
  return out.take();
}

export function normalDuration(bytes: Buffer): Buffer | undefined {
  const fields = integers(bytes, [1]);
  if (fields === undefined) return undefined;
  const out = new BackWriter();
  out.varint(fields[0] ?? 0n);
  out.byte(0x08);
  return out.take();
}

export function normalQuantity(bytes: Buffer): Buffer | undefined {
  const text = bytes.length === 0 ? '0' : contents(bytes, 1)?.toString('latin1');
  const canonical = text === undefined ? undefined : canonicalQuantity(text);
  return canonical === undefined ? undefined : field(1, Buffer.from(canonical));
}

export function normalIntOrString(bytes: Buffer): Buffer | undefined {
  const all = splitFields(bytes);
  const numbers = integers(Buffer.concat(all.filter((one) => one.number !== 3).map((one) => one.bytes)), [1, 2]);
  const strings = all.filter((one) => one.number === 3).map(contentsOf);
  if (numbers === undefined || strings.includes(undefined)) return undefined;
  const [type = 0n, number = 0n] = numbers;
  if (type !== 0n && type !== 1n) return undefined;
  const out = new BackWriter();
  const before = out.length;
  if (type === 1n) out.bytes(strings.at(-1) ?? Buffer.alloc(0));
  out.close(3, before);
  out.varint(type === 1n ? 0n : BigInt.asIntN(32, number));
  out.byte(0x10);
  out.byte(Number(type));
  out.byte(0x08);
  return out.take();
}

/**
 * RawExtension and the like. CBOR in it becomes JSON, as Kubernetes shows it.
 *
 * @param isPointer then `null` in JSON is no field at all, and cannot stand for one that is there with nothing in it
 */
export function normalRaw(bytes: Buffer, isPointer: boolean): Buffer | undefined {
  if (bytes.length === 0) return isPointer ? undefined : bytes;
  let text = contents(bytes, 1);
  if (text === undefined) return undefined;
  if (isCbor(text)) {
    try {
      text = cborToJson(text);
    } catch (thrown) {
      if (thrown instanceof FerryError) return undefined;
      throw thrown;
    }
  }
  if (!isUtf8Json(text, 0, text.length)) return undefined;
  if (text.toString('latin1').trim() === 'null') return isPointer ? undefined : Buffer.alloc(0);
  return field(1, text.includes(0x0a) ? Buffer.from(compactJson(text.toString('latin1')), 'latin1') : text);
}

/** @returns undefined unless all fields have the number and are strings */
export function normalStrings(bytes: Buffer, number: number): Buffer | undefined {
  const values = splitFields(bytes).map((one) => (one.number === number ? contentsOf(one) : undefined));
  return values.includes(undefined) ? undefined : Buffer.concat(values.map((value) => field(number, value as Buffer)));
}

/** A length-delimited field. */
export function field(number: number, value: Buffer): Buffer {
  const tag = number * 8 + 2;
  const out = Buffer.allocUnsafe(varintLength(tag) + varintLength(value.length) + value.length);
  out.set(value, writeVarint(out, writeVarint(out, 0, tag), value.length));
  return out;
}

/** The contents of a length-delimited field; undefined for any other. */
export function contentsOf({ bytes }: RawField): Buffer | undefined {
  const tag = varint32At(bytes, 0, bytes.length);
  if ((tag & 7) !== 2) return undefined;
  varint32At(bytes, varintEnd, bytes.length);
  return bytes.subarray(varintEnd);
}

/** @returns the varint of a field; undefined for any other wire type */
export function integerOf({ bytes }: RawField): bigint | undefined {
  return (varint32At(bytes, 0, bytes.length) & 7) === 0 ? BigInt(int64At(bytes, varintEnd, bytes.length)) : undefined;
}

/** Contents of the only kind of field there is; of several the last. */
function contents(bytes: Buffer, number: number): Buffer | undefined {
  const values = splitFields(bytes).map((one) => (one.number === number ? contentsOf(one) : undefined));
  return values.includes(undefined) ? undefined : values.at(-1);
}

/** The last value of each of these varint fields; undefined when there is any other field. */
function integers(bytes: Buffer, numbers: readonly number[]): (bigint | undefined)[] | undefined {
  const found: (bigint | undefined)[] = [];
  for (const one of splitFields(bytes)) {
    const place = numbers.indexOf(one.number);
    const value = integerOf(one);
    if (place === -1 || value === undefined) return undefined;
    found[place] = value;
  }
  return found;
}
