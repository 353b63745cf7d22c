import { FerryError } from '../../errors.js';
import { beginning } from '../../model/shown-text.js';
import type { BackWriter } from './back-writer.js';
import { parseDuration } from './duration.js';
import type { JsonNode } from './json-tree.js';
import { canonicalQuantity } from './quantity.js';
import { GO_ZERO_SECONDS, parseTime } from './time.js';

/** A JSON value that is not what its field takes. `path` is filled in on the way up. */
export function wrongValue(expected: string, node: JsonNode, found = describe(node)): FerryError {
  return new FerryError('usage', `expected ${expected}, found ${found}`, { hint: 'Correct the value, or leave the field out.' });
}

export function stringOf(node: JsonNode): Buffer {
  if (node.kind !== 'string') throw wrongValue('a string', node);
  return Buffer.from(node.value);
}

export function boolOf(node: JsonNode): number {
  if (node.kind !== 'boolean') throw wrongValue('true or false', node);
  return node.value ? 1 : 0;
}

/** @param bits 32 or 64 */
export function intOf(node: JsonNode, bits: 32 | 64): bigint {
  if (node.kind !== 'number' || !/^-?\d+$/.test(node.text) || node.text.length > 20) throw wrongValue('a whole number', node);
  const value = BigInt(node.text);
  if (BigInt.asIntN(bits, value) !== value) throw wrongValue(`a number of ${bits} bits`, node);
  return value;
}

export function doubleOf(node: JsonNode): number {
  if (node.kind !== 'number' || !Number.isFinite(Number(node.text))) throw wrongValue('a number', node);
  return Number(node.text);
}

export function bytesOf(node: JsonNode): Buffer {
  if (node.kind !== 'string') throw wrongValue('base64', node);
  const text = node.value.replace(/[\r\n]/g, '');
  const bytes = Buffer.from(text, 'base64');
  if (bytes.toString('base64') !== text) throw wrongValue('base64', node);
  return bytes;
}

/** meta/v1.Time or MicroTime; the zero time is no bytes at all. */
export function writeTime(out: BackWriter, node: JsonNode, micro: boolean): void {
  if (node.kind === 'string' && node.value === '') return;
  const time = node.kind === 'string' ? parseTime(node.value) : undefined;
  if (time === undefined) throw wrongValue('a time like 2006-01-02T15:04:05Z', node);
  const nanos = micro ? time.nanos - (time.nanos % 1000) : 0;
  if (time.seconds === GO_ZERO_SECONDS && nanos === 0) return;
  out.varint(nanos);
  out.byte(0x10);
  out.varint(time.seconds);
  out.byte(0x08);
}

export function writeDuration(out: BackWriter, node: JsonNode | undefined): void {
  const nanos = node === undefined ? 0n : node.kind === 'string' ? parseDuration(node.value) : undefined;
  if (nanos === undefined) throw wrongValue('a duration like 1h30m', node as JsonNode);
  out.varint(nanos);
  out.byte(0x08);
}

/** resource.Quantity, in the form Kubernetes gives it; a plain number is taken too, as Kubernetes does. */
export function writeQuantity(out: BackWriter, node: JsonNode | undefined): void {
  const given = node === undefined ? '0' : node.kind === 'string' ? node.value.trim() : node.kind === 'number' ? node.text : '';
  const text = canonicalQuantity(given);
  if (text === undefined) throw wrongValue('a quantity like 500m or 1Gi', node as JsonNode);
  const before = out.length;
  out.bytes(Buffer.from(text));
  out.close(1, before);
}

/** intstr.IntOrString: all three fields, whichever is used. */
export function writeIntOrString(out: BackWriter, node: JsonNode | undefined): void {
  const text = node?.kind === 'string' ? Buffer.from(node.value) : Buffer.alloc(0);
  const before = out.length;
  out.bytes(text);
  out.close(3, before);
  out.varint(node === undefined || node.kind === 'string' ? 0 : intOf(node, 32));
  out.byte(0x10);
  out.byte(node?.kind === 'string' ? 1 : 0);
  out.byte(0x08);
}

function describe(node: JsonNode): string {
  if (node.kind === 'string') return JSON.stringify(beginning(node.value));
  return node.kind === 'number' ? beginning(node.text) : node.kind === 'object' || node.kind === 'array' ? `an ${node.kind}` : node.kind;
}
