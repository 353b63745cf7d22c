import { isUtf8 } from 'node:buffer';
import { FerryError } from '../errors.js';
import { cborToJson, isCbor } from './codec/cbor.js';
import { decodeAs, decodeExactly, type ExactJson } from './codec/decode-message.js';
import { type Envelope, hasEnvelope, isPlainEnvelope, openEnvelope } from './codec/envelope.js';
import { isJson } from './codec/json-check.js';
import { characterLength } from './codec/json-output.js';
import { compactJson } from './codec/json-tree.js';
import { normalize } from './codec/normalize.js';
import { GENERATIONS, kindOf } from './schema/schema.js';

/** How a value is stored: as Kubernetes' protobuf, JSON or CBOR, encrypted, as plain text, or as none of these. */
export type StoredFormat = 'protobuf' | 'json' | 'cbor' | 'encrypted' | 'text' | 'binary';

/** A stored value, made readable as far as it can be. */
export interface StoredValue {
  readonly format: StoredFormat;
  /** Of the object's own account: the envelope's, or the JSON's. Empty where there is none. */
  readonly apiVersion: string;
  readonly kind: string;
  /** The object as one line of JSON in UTF-8, as Kubernetes writes it; undefined for `encrypted`, `text` and `binary`. */
  readonly json: Buffer | undefined;
  /** False for a protobuf object whose kind no release known here has: its JSON holds the message in base64 as `@raw`. */
  readonly isKnownKind: boolean;
  /** Number of protobuf fields that no release known here has: kept in the JSON as `@unknown`, in base64. */
  readonly unknownFields: number;
  /** Protobuf only: the newest Kubernetes release (`1.36`) that writes these very bytes from the JSON; undefined when none known here does. */
  readonly release: string | undefined;
}

const ENCRYPTED_PREFIX = Buffer.from('k8s:enc:');

/**
 * Makes a value from Kubernetes' etcd readable (apimachinery pkg/runtime/serializer: protobuf, json
 * and cbor). It looks at the bytes alone: what is neither of Kubernetes' formats is `text` or `binary`.
 *
 * @throws FerryError `damaged` when bytes that begin as protobuf or CBOR do not parse
 */
export function decodeStored(bytes: Buffer): StoredValue {
  if (hasEnvelope(bytes)) return decodeProtobuf(bytes);
  if (bytes[0] === 0x7b && isJson(bytes, 0, bytes.length)) return ofJson('json', oneLine(bytes));
  if (isCbor(bytes)) return ofJson('cbor', cborToJson(bytes));
  return { ...NOTHING, format: isEncrypted(bytes) ? 'encrypted' : isText(bytes) ? 'text' : 'binary' };
}

/** Whether the API server encrypted the value (`k8s:enc:`). */
export function isEncrypted(bytes: Buffer): boolean {
  return bytes.length > ENCRYPTED_PREFIX.length && bytes.compare(ENCRYPTED_PREFIX, 0, 8, 0, 8) === 0;
}

const NOTHING: Omit<StoredValue, 'format'> = {
  apiVersion: '',
  kind: '',
  json: undefined,
  isKnownKind: true,
  unknownFields: 0,
  release: undefined,
};

function decodeProtobuf(bytes: Buffer): StoredValue {
  const envelope = openEnvelope(bytes);
  const { apiVersion, kind, rawStart, rawEnd } = envelope;
  const found = kindOf(apiVersion, kind);
  if (found.union === undefined || envelope.contentEncoding !== '' || envelope.contentType !== '') return opaque(bytes, envelope);
  const value = { format: 'protobuf', apiVersion, kind, isKnownKind: true } as const;
  const exact = decodeExactly(found, bytes, rawStart, rawEnd);
  if (exact !== undefined)
    return { ...value, json: exact.json, unknownFields: 0, release: isPlainEnvelope(bytes, envelope) ? releaseOf(exact) : undefined };
  const normal = normalize(found.union, bytes.subarray(rawStart, rawEnd));
  const json = decodeAs(found, found.union, normal.bytes, 0, normal.bytes.length);
  if (json === undefined) throw new FerryError('damaged', `a stored ${kind} of ${apiVersion} holds a value that JSON cannot show`);
  return { ...value, json, unknownFields: normal.unknown, release: undefined };
}

function releaseOf({ generation }: ExactJson): string | undefined {
  return generation === undefined ? undefined : GENERATIONS[generation];
}

function opaque(bytes: Buffer, { apiVersion, kind, contentEncoding, contentType, rawStart, rawEnd }: Envelope): StoredValue {
  const json = JSON.stringify({
    kind,
    apiVersion,
    ...(contentEncoding === '' ? {} : { '@contentEncoding': contentEncoding }),
    ...(contentType === '' ? {} : { '@contentType': contentType }),
    '@raw': bytes.toString('base64', rawStart, rawEnd),
  });
  return { format: 'protobuf', apiVersion, kind, json: Buffer.from(json), isKnownKind: false, unknownFields: 0, release: undefined };
}

function ofJson(format: 'json' | 'cbor', json: Buffer): StoredValue {
  const { apiVersion, kind } = typeOfJson(json);
  return { ...NOTHING, format, apiVersion, kind, json };
}

/** apiVersion and kind of an object's JSON; empty where they are missing or no strings. */
function typeOfJson(json: Buffer): { apiVersion: string; kind: string } {
  const object: unknown = JSON.parse(json.toString());
  const text = (name: string): string => {
    const value = typeof object === 'object' && object !== null ? (object as Record<string, unknown>)[name] : undefined;
    return typeof value === 'string' ? value : '';
  };
  return { apiVersion: text('apiVersion'), kind: text('kind') };
}

/** Stored JSON ends in a line break; within it there is rarely one. What is not UTF-8 becomes U+FFFD, as Go reads it. */
function oneLine(bytes: Buffer): Buffer {
  const end = bytes.at(-1) === 0x0a ? bytes.length - 1 : bytes.length;
  const json = bytes.subarray(0, end);
  const line = json.includes(0x0a) ? Buffer.from(compactJson(json.toString('latin1')), 'latin1') : json;
  return isUtf8(line) ? line : Buffer.from(line.toString());
}

/** UTF-8 without control characters but tab and line breaks. */
function isText(bytes: Buffer): boolean {
  for (let at = 0; at < bytes.length; ) {
    const byte = bytes[at] as number;
    const length = characterLength(bytes, at, bytes.length);
    if (length === 0 || byte === 0x7f || (byte < 0x20 && byte !== 0x09 && byte !== 0x0a && byte !== 0x0d)) return false;
    at += length;
  }
  return true;
}
