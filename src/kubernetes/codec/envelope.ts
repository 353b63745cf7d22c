import { FerryError } from '../../errors.js';
import { varintLength, writeVarint } from '../../wire/varint.js';
import { skipValueAt, varint32At, varintEnd } from './varint-at.js';

/** `k8s\0`, before every protobuf value (apimachinery pkg/runtime/serializer/protobuf). */
export const ENVELOPE_PREFIX: Buffer = Buffer.from([0x6b, 0x38, 0x73, 0x00]);

/** runtime.Unknown{typeMeta=1{apiVersion=1, kind=2}, raw=2, contentEncoding=3, contentType=4}. */
export interface Envelope {
  readonly apiVersion: string;
  readonly kind: string;
  readonly contentEncoding: string;
  readonly contentType: string;
  /** Where the object's message lies in the stored bytes. */
  readonly rawStart: number;
  readonly rawEnd: number;
}

export function hasEnvelope(bytes: Buffer): boolean {
  return bytes.length >= 4 && bytes[0] === 0x6b && bytes[1] === 0x38 && bytes[2] === 0x73 && bytes[3] === 0;
}

/**
 * Opens the envelope of a stored protobuf value.
 *
 * @param bytes from `k8s\0` on
 * @throws FerryError `damaged` when it does not parse
 */
export function openEnvelope(bytes: Buffer): Envelope {
  const envelope = { apiVersion: '', kind: '', contentEncoding: '', contentType: '', rawStart: 0, rawEnd: 0 };
  for (let at = ENVELOPE_PREFIX.length; at < bytes.length; ) {
    const tag = varint32At(bytes, at, bytes.length);
    const lengthAt = varintEnd;
    at = skipValueAt(bytes, lengthAt, bytes.length, tag & 7);
    if ((tag & 7) !== 2) continue;
    varint32At(bytes, lengthAt, bytes.length);
    const start = varintEnd;
    if (tag === 0x0a) typeMeta(bytes, start, at, envelope);
    else if (tag === 0x12) [envelope.rawStart, envelope.rawEnd] = [start, at];
    else if (tag === 0x1a) envelope.contentEncoding = bytes.toString('utf8', start, at);
    else if (tag === 0x22) envelope.contentType = bytes.toString('utf8', start, at);
    else if (tag < 8) throw new FerryError('damaged', 'a protobuf field has number 0');
  }
  return envelope;
}

const heads = new Map<string, Buffer>();
/** Behind the message: two empty fields. */
const TAIL: Buffer = Buffer.from([0x1a, 0, 0x22, 0]);

/**
 * Whether the envelope of an object of a known kind is, byte for byte, the one that `wrapInEnvelope` makes:
 * no field more, and none in another place.
 */
export function isPlainEnvelope(bytes: Buffer, { apiVersion, kind, rawStart, rawEnd }: Envelope): boolean {
  const name = `${apiVersion} ${kind}`;
  let head = heads.get(name);
  if (head === undefined) {
    head = Buffer.concat([ENVELOPE_PREFIX, typeField(apiVersion, kind), Buffer.from([0x12])]);
    heads.set(name, head);
  }
  return (
    rawStart === head.length + varintLength(rawEnd - rawStart) &&
    bytes.compare(head, 0, head.length, 0, head.length) === 0 &&
    bytes.compare(TAIL, 0, TAIL.length, rawEnd) === 0
  );
}

function typeMeta(bytes: Buffer, start: number, end: number, into: { apiVersion: string; kind: string }): void {
  for (let at = start; at < end; ) {
    const tag = varint32At(bytes, at, end);
    const lengthAt = varintEnd;
    at = skipValueAt(bytes, lengthAt, end, tag & 7);
    if (tag !== 0x0a && tag !== 0x12) continue;
    varint32At(bytes, lengthAt, end);
    const text = name(bytes, varintEnd, at);
    if (tag === 0x0a) into.apiVersion = text;
    else into.kind = text;
  }
}

const names = new Map<number, { bytes: Buffer; text: string }>();

/** The text of an apiVersion or kind. There are few of them, over and over: the last of each hash is kept. */
function name(bytes: Buffer, start: number, end: number): string {
  let hash = end - start;
  for (let i = start; i < end; i++) hash = (hash * 31 + (bytes[i] as number)) & 0x3ff;
  const known = names.get(hash);
  if (known !== undefined && known.bytes.compare(bytes, start, end) === 0) return known.text;
  const text = bytes.toString('utf8', start, end);
  names.set(hash, { bytes: Buffer.from(bytes.subarray(start, end)), text });
  return text;
}

/** Puts an object's message into an envelope, all four fields written, as Kubernetes does. */
export function wrapInEnvelope(
  envelope: Pick<Envelope, 'apiVersion' | 'kind' | 'contentEncoding' | 'contentType'>,
  raw: Uint8Array,
): Buffer {
  return Buffer.concat([
    ENVELOPE_PREFIX,
    typeField(envelope.apiVersion, envelope.kind),
    field(0x12, raw),
    field(0x1a, Buffer.from(envelope.contentEncoding)),
    field(0x22, Buffer.from(envelope.contentType)),
  ]);
}

function typeField(apiVersion: string, kind: string): Buffer {
  return field(0x0a, Buffer.concat([field(0x0a, Buffer.from(apiVersion)), field(0x12, Buffer.from(kind))]));
}

function field(tag: number, value: Uint8Array): Buffer {
  const out = Buffer.allocUnsafe(1 + varintLength(value.length) + value.length);
  out[0] = tag;
  out.set(value, writeVarint(out, 1, value.length));
  return out;
}
