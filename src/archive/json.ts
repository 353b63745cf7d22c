import { isUtf8 } from 'node:buffer';
import { FerryError } from '../errors.js';

/** A JSON object as `JSON.parse` gives it, before its fields are believed. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** Most values in one document: a manifest of 32 MiB has 2.2 million, and each takes some 50 bytes of memory. */
const MOST_VALUES = 2_500_000;
/** Deepest nesting of a document. */
const DEEPEST = 1_000;

/**
 * Parses the JSON of an entry. Three bytes of it can make fifty of memory, so its values are counted
 * before room is made for them.
 *
 * @param where entry and offset, for messages
 * @throws FerryError `damaged` when it is not a JSON object in UTF-8, or has more values or levels than any entry has
 */
export function parseJson(bytes: Buffer, where: string): JsonObject {
  if (!isUtf8(bytes)) throw new FerryError('damaged', `${where}: is not UTF-8 text`);
  checkShape(bytes, where);
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString('utf8'));
  } catch (cause) {
    throw new FerryError('damaged', `${where}: is not JSON`, { cause });
  }
  return asObject(value, where);
}

function checkShape(bytes: Buffer, where: string): void {
  let [values, depth] = [1, 0];
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i];
    if (byte === 0x22 /* " */) i = endOfString(bytes, i + 1);
    else if (byte === 0x5d /* ] */ || byte === 0x7d /* } */) depth--;
    else if (byte === 0x2c /* , */) values++;
    else if (byte === 0x5b /* [ */ || byte === 0x7b /* { */) {
      values++;
      if (++depth > DEEPEST) throw new FerryError('damaged', `${where}: is nested more than ${DEEPEST} levels deep`);
    }
    if (values > MOST_VALUES) throw new FerryError('damaged', `${where}: has more than ${MOST_VALUES} values`);
  }
}

/** Where the closing quote is; the end of the text where there is none. */
function endOfString(bytes: Buffer, from: number): number {
  let at = from;
  while (at < bytes.length && bytes[at] !== 0x22) at += bytes[at] === 0x5c /* \ */ ? 2 : 1;
  return at;
}

/** @throws FerryError `damaged` when it is anything but a JSON object */
export function asObject(value: unknown, where: string): JsonObject {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw expected(where, 'an object', value);
  return value as JsonObject;
}

/** @throws FerryError `damaged` when it is anything but a JSON array */
export function asArray(value: unknown, where: string): readonly unknown[] {
  if (!Array.isArray(value)) throw expected(where, 'an array', value);
  return value;
}

/** @throws FerryError `damaged` when it is anything but a string */
export function asText(value: unknown, where: string): string {
  if (typeof value !== 'string') throw expected(where, 'a string', value);
  return value;
}

/** @throws FerryError `damaged` when it is anything but true or false */
export function asBoolean(value: unknown, where: string): boolean {
  if (typeof value !== 'boolean') throw expected(where, 'true or false', value);
  return value;
}

/** A count, size or offset. @throws FerryError `damaged` when it is not an integer from 0 to 2^53-1 */
export function asCount(value: unknown, where: string): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) throw expected(where, 'a count', value);
  return value;
}

/** One of a few fixed words. @throws FerryError `damaged` for any other */
export function asOneOf<T extends string>(value: unknown, words: readonly T[], where: string): T {
  const word = words.find((candidate) => candidate === value);
  if (word === undefined) throw expected(where, `one of ${words.join(', ')}`, value);
  return word;
}

/** A SHA-256 as 64 lower-case hex digits. @throws FerryError `damaged` for anything else */
export function asSha256(value: unknown, where: string): string {
  if (typeof value !== 'string' || !/^[0-9a-f]{64}$/.test(value)) throw expected(where, 'a SHA-256', value);
  return value;
}

/** Revisions and the like: a number up to 2^53-1, a decimal string beyond. */
export function integerToJson(value: bigint): number | string {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : String(value);
}

/** @throws FerryError `damaged` when it is not as `integerToJson` writes it */
export function asInteger(value: unknown, where: string): bigint {
  if (typeof value === 'number' && Number.isSafeInteger(value)) return BigInt(value);
  if (typeof value === 'string' && /^-?[1-9][0-9]{15,19}$/.test(value)) return BigInt(value);
  throw expected(where, 'an integer', value);
}

/** A cluster or member id (uint64) as lower-case hex without leading zeros. */
export function idToJson(id: bigint): string {
  return BigInt.asUintN(64, id).toString(16);
}

/** @throws FerryError `damaged` when it is not as `idToJson` writes it */
export function asId(value: unknown, where: string): bigint {
  if (typeof value !== 'string' || !/^[0-9a-f]{1,16}$/.test(value)) throw expected(where, 'an id in hex', value);
  return BigInt(`0x${value}`);
}

/** @throws FerryError `damaged` when it is not base64 as Node writes it, padding and all */
export function asBase64(value: unknown, where: string): Buffer {
  const bytes = Buffer.from(asText(value, where), 'base64');
  if (bytes.toString('base64') !== value) throw expected(where, 'base64', value);
  return bytes;
}

/** Key bytes under `name`, or under `nameBase64` where they are not UTF-8. */
export function keyToJson(name: string, key: Buffer): Record<string, string> {
  return isUtf8(key) ? { [name]: key.toString('utf8') } : { [`${name}Base64`]: key.toString('base64') };
}

/** @throws FerryError `damaged` when the object has no such key, or both forms of it */
export function keyFromJson(object: JsonObject, name: string, where: string): Buffer {
  const text = object[name];
  const base64 = object[`${name}Base64`];
  if ((text === undefined) === (base64 === undefined)) {
    throw new FerryError('damaged', `${where}: has not exactly one of ${name} and ${name}Base64`);
  }
  if (base64 !== undefined) return asBase64(base64, `${where}: ${name}Base64`);
  return Buffer.from(asText(text, `${where}: ${name}`), 'utf8');
}

/** Puts a field into an object only when it has a value; keeps JSON and types free of undefined. */
export function given<K extends string, V>(name: K, value: V | undefined): { [P in K]?: V } {
  return value === undefined ? {} : ({ [name]: value } as { [P in K]?: V });
}

/**
 * Holds what was read against what would be written: unknown fields, another order of fields or
 * another way of writing a number show here.
 *
 * @throws FerryError `damaged` when the bytes differ
 */
export function checkCanonical(found: Buffer, write: () => Buffer, where: string): void {
  let written: Buffer;
  try {
    written = write();
  } catch (cause) {
    // What is nested deep enough can be parsed but not written.
    throw new FerryError('damaged', `${where}: cannot be written again`, { cause });
  }
  if (!found.equals(written)) throw notCanonical(where);
}

/** The same for what is written piece by piece, and never held as a whole. */
export function checkCanonicalText(found: Buffer, pieces: Iterable<string>, where: string): void {
  let at = 0;
  for (const piece of pieces) {
    const end = at + Buffer.byteLength(piece);
    if (end > found.length || found.toString('utf8', at, end) !== piece) throw notCanonical(where);
    at = end;
  }
  if (at !== found.length) throw notCanonical(where);
}

function notCanonical(where: string): FerryError {
  return new FerryError('damaged', `${where}: is not written as this format version writes it`);
}

function expected(where: string, what: string, found: unknown): FerryError {
  const shown = found === undefined ? 'nothing' : JSON.stringify(found).slice(0, 40);
  return new FerryError('damaged', `${where}: expected ${what}, found ${shown}`);
}
