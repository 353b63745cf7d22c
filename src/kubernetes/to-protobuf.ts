import { FerryError } from '../errors.js';
import { decodeStored } from './decode.js';
import { encodeStored } from './encode.js';

/** What became of a value that Kubernetes 1.5 or older stored as JSON. */
export type ProtobufStorage =
  /** `dropped`: paths of members that no release since knows, which an API server leaves out too. */
  | { readonly outcome: 'converted'; readonly value: Buffer; readonly kind: string; readonly dropped: readonly string[] }
  /** Not JSON, or no object: nothing to convert. */
  | { readonly outcome: 'not-json'; readonly value: Buffer }
  /** Stays JSON: a kind without a protobuf message in any release known here. */
  | { readonly outcome: 'no-message'; readonly value: Buffer; readonly kind: string; readonly apiVersion: string }
  /** Stays JSON: a member's value is not what its field takes. */
  | { readonly outcome: 'not-convertible'; readonly value: Buffer; readonly kind: string; readonly reason: string };

/** Kinds that Kubernetes stores as JSON to this day, although clients may exchange them as protobuf. */
const STORED_AS_JSON = /^(apiextensions\.k8s\.io|apiregistration\.k8s\.io)\//;

/**
 * Converts a value that Kubernetes stored as JSON into what an API server of 1.6 or newer would have
 * stored for the same API version, by the oldest release known here that has the kind.
 */
export function toProtobufStorage(bytes: Buffer): ProtobufStorage {
  const { format, json, kind, apiVersion } = bytes[0] === 0x7b ? decodeStored(bytes) : { format: 'binary' };
  if (format !== 'json' || json === undefined || !kind || !apiVersion) return { outcome: 'not-json', value: bytes };
  const stays = { outcome: 'no-message', value: bytes, kind, apiVersion } as const;
  if (STORED_AS_JSON.test(apiVersion)) return stays;
  try {
    const encoded = encodeStored(json, { oldestFirst: true, dropUnknown: true });
    return { outcome: 'converted', value: encoded.bytes, kind, dropped: encoded.dropped };
  } catch (thrown) {
    if (!(thrown instanceof FerryError)) throw thrown;
    return thrown.code === 'unknown-format' ? stays : { outcome: 'not-convertible', value: bytes, kind, reason: thrown.message };
  }
}
