import { hasEnvelope, openEnvelope } from './codec/envelope.js';
import { skipValueAt, varint32At, varintEnd } from './codec/varint-at.js';
import { decodeStored } from './decode.js';

/** What an object says of itself; empty where it does not say it. */
export interface OwnAccount {
  readonly apiVersion: string;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
}

const NOTHING: OwnAccount = { apiVersion: '', kind: '', namespace: '', name: '' };
/** Tags of `metadata`, field 1 of every kind that is stored, and of its `name` and `namespace` (apimachinery meta/v1 ObjectMeta). */
const METADATA = 0x0a;
const NAME = 0x0a;
const NAMESPACE = 0x1a;

/** What a stored value says of itself; nothing when it is encrypted, or no object. Never throws, whatever the bytes. */
export function ownAccount(value: Buffer): OwnAccount {
  try {
    if (hasEnvelope(value)) return accountInEnvelope(value);
    return accountInJson(value[0] === 0x7b ? value.toString() : (decodeStored(value).json ?? '').toString());
  } catch {
    return NOTHING;
  }
}

function accountInEnvelope(value: Buffer): OwnAccount {
  const { apiVersion, kind, rawStart, rawEnd } = openEnvelope(value);
  return { apiVersion, kind, ...metadataIn(value, rawStart, rawEnd) };
}

/** The names in the message's metadata; its other fields are not looked at. */
function metadataIn(bytes: Buffer, start: number, end: number): Pick<OwnAccount, 'namespace' | 'name'> {
  let [namespace, name] = ['', ''];
  if (start >= end || bytes[start] !== METADATA) return { namespace, name };
  const length = varint32At(bytes, start + 1, end);
  const metadataEnd = Math.min(varintEnd + length, end);
  for (let at = varintEnd; at < metadataEnd; ) {
    const tag = varint32At(bytes, at, metadataEnd);
    const lengthAt = varintEnd;
    at = skipValueAt(bytes, lengthAt, metadataEnd, tag & 7);
    if (tag !== NAME && tag !== NAMESPACE) continue;
    varint32At(bytes, lengthAt, metadataEnd);
    const text = bytes.toString('utf8', varintEnd, at);
    if (tag === NAME) name = text;
    else namespace = text;
  }
  return { namespace, name };
}

function accountInJson(json: string): OwnAccount {
  const object = membersOf(JSON.parse(json));
  const metadata = membersOf(object.metadata);
  return {
    apiVersion: textOf(object.apiVersion),
    kind: textOf(object.kind),
    namespace: textOf(metadata.namespace),
    name: textOf(metadata.name),
  };
}

function membersOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
