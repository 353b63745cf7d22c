import { isUtf8 } from 'node:buffer';
import { FerryError } from '../errors.js';
import { comparableJson } from '../kubernetes/comparable.js';
import type { StoredValue } from '../kubernetes/decode.js';
import type { Encryption } from '../kubernetes/encryption/encryption.js';
import { toYaml } from '../kubernetes/yaml.js';
import { type ShownValue, showValue } from './show-value.js';

/** How a value is made readable before two of them are compared line by line. */
export interface ReadOptions {
  readonly ignoreNoise: boolean;
  readonly encryption: Encryption | undefined;
}

/** A value as a person compares it with another. */
export interface ReadableValue {
  /** Opened where it was encrypted. */
  readonly bytes: Buffer;
  /** `Deployment`; empty for what is no object of Kubernetes. */
  readonly kind: string;
  readonly apiVersion: string;
  /** Kubernetes' objects only: their JSON, with all digits and nothing left out. */
  readonly json: Buffer | undefined;
  /** YAML of JSON and of objects, the text of what is UTF-8, undefined for anything else. */
  readonly text: string | undefined;
  /** Set where nothing given opens it. */
  readonly locked: ShownValue['locked'];
}

/** JSON up to this many characters is shown as it is. */
const SHORT_JSON = 80;

const UNREADABLE: Omit<StoredValue, 'format'> = {
  apiVersion: '',
  kind: '',
  json: undefined,
  isKnownKind: false,
  unknownFields: 0,
  release: undefined,
};

/**
 * Makes a stored value readable; what does not parse is shown as the bytes it is.
 *
 * @throws FerryError `unreachable` for a KMS plugin
 */
export async function readValue(key: Buffer, value: Buffer, options: ReadOptions): Promise<ReadableValue> {
  const { bytes, stored, locked } = await shown(key, value, options.encryption);
  const { kind, apiVersion } = stored;
  const json = isObject(stored) ? stored.json : undefined;
  return { bytes, kind, apiVersion, json, text: locked === undefined ? textOf(bytes, stored, options) : undefined, locked };
}

/**
 * Whether two values say the same although their bytes differ: sealed anew, or with `ignoreNoise` the
 * same object but for what a cluster writes into it by itself.
 *
 * @throws FerryError `unreachable` for a KMS plugin
 */
export async function sayTheSame(key: Buffer, left: Buffer, right: Buffer, options: ReadOptions): Promise<boolean> {
  const [a, b] = [await shown(key, left, options.encryption), await shown(key, right, options.encryption)];
  if (a.locked !== undefined || b.locked !== undefined) return false;
  if (a.bytes.equals(b.bytes)) return true;
  if (!options.ignoreNoise || !isObject(a.stored) || !isObject(b.stored)) return false;
  return comparableJson(a.stored.json, 'drop') === comparableJson(b.stored.json, 'drop');
}

/** A value that begins as an object and does not parse is no less comparable as bytes. */
async function shown(key: Buffer, value: Buffer, encryption: Encryption | undefined): Promise<ShownValue> {
  try {
    return await showValue(key, value, encryption);
  } catch (thrown) {
    if (!(thrown instanceof FerryError) || (thrown.code !== 'damaged' && thrown.code !== 'usage')) throw thrown;
    return { bytes: value, stored: { ...UNREADABLE, format: isUtf8(value) ? 'text' : 'binary' }, locked: undefined };
  }
}

function isObject(stored: StoredValue): stored is StoredValue & { readonly json: Buffer } {
  return stored.json !== undefined && stored.kind !== '' && stored.apiVersion !== '';
}

/** JSON that is nobody's object reads better as YAML too, where it fits on no line. */
function textOf(bytes: Buffer, stored: StoredValue, { ignoreNoise }: ReadOptions): string | undefined {
  if (isObject(stored)) return yamlOf(stored.json, ignoreNoise ? 'drop' : 'keep') ?? stored.json.toString();
  const text = isUtf8(bytes) && !bytes.includes(0) ? bytes.toString() : undefined;
  if (stored.json === undefined || (text !== undefined && text.length <= SHORT_JSON)) return text;
  return yamlOf(stored.json, 'keep') ?? text;
}

function yamlOf(json: Buffer, noise: 'keep' | 'drop'): string | undefined {
  try {
    return toYaml(comparableJson(json, noise));
  } catch (thrown) {
    // Nested too deep for YAML.
    if (thrown instanceof FerryError) return undefined;
    throw thrown;
  }
}
