import { FerryError } from '../../errors.js';
import { beginning } from '../../model/shown-text.js';
import { parseDuration } from '../codec/duration.js';
import { yamlSettings } from '../yaml-settings.js';

export interface EncryptionKey {
  readonly name: string;
  readonly secret: Buffer;
}

/** One way to encrypt, as the API server's configuration names it. */
export type EncryptionProvider =
  | { readonly type: 'identity' }
  | { readonly type: 'aescbc' | 'aesgcm' | 'secretbox'; readonly keys: readonly EncryptionKey[] }
  | {
      readonly type: 'kms';
      readonly version: 'v1' | 'v2';
      readonly name: string;
      /** `unix:///run/kms.sock` */
      readonly endpoint: string;
      /** Longest time to wait for the plugin, in milliseconds. */
      readonly timeout: number;
    };

/** Which resources are encrypted how: the first entry that names a resource counts, and its first provider writes. */
export interface EncryptionConfiguration {
  readonly resources: readonly { readonly resources: readonly string[]; readonly providers: readonly EncryptionProvider[] }[];
}

/** Kubernetes waits three seconds for a plugin unless told otherwise. */
const DEFAULT_TIMEOUT = 3000;

/**
 * Reads the API server's EncryptionConfiguration (apiserver.config.k8s.io/v1, and `EncryptionConfig` of
 * v1, as it was called until 1.12). No secret of it stands in any error.
 *
 * @param text YAML or JSON
 * @throws FerryError `usage` when it is none, or a provider or key in it is not as it should be
 */
export function parseEncryptionConfiguration(text: string): EncryptionConfiguration {
  // Silent of further documents: the API server reads the first, too.
  const root = yamlSettings(text, wrong, { logLevel: 'silent' });
  const kind = record(root)?.kind;
  if (kind !== 'EncryptionConfiguration' && kind !== 'EncryptionConfig')
    throw wrong(`has kind ${shown(kind ?? null)}, expected EncryptionConfiguration`);
  return {
    resources: list(record(root)?.resources, 'resources').map((entry, i) => ({
      resources: list(record(entry)?.resources, `resources[${i}].resources`).map((name) => String(name)),
      providers: list(record(entry)?.providers, `resources[${i}].providers`).map((one, k) =>
        provider(one, `resources[${i}].providers[${k}]`),
      ),
    })),
  };
}

function provider(value: unknown, path: string): EncryptionProvider {
  const given = Object.entries(record(value) ?? {});
  const [type = '', settings] = given[0] ?? [];
  if (given.length !== 1) throw wrong(`names ${given.length} providers in ${path}, expected one`);
  switch (type) {
    case 'identity':
      return { type };
    case 'aescbc':
    case 'aesgcm':
      return { type, keys: keys(settings, `${path}.${type}`, [16, 24, 32]) };
    case 'secretbox':
      return { type, keys: keys(settings, `${path}.${type}`, [32]) };
    case 'kms':
      return kms(record(settings) ?? {}, `${path}.kms`);
    default:
      throw wrong(`names a provider ${shown(type)} in ${path} that is not known`);
  }
}

function keys(settings: unknown, path: string, sizes: readonly number[]): EncryptionKey[] {
  return list(record(settings)?.keys, `${path}.keys`).map((key, i) => {
    const { name, secret } = record(key) ?? {};
    if (typeof name !== 'string' || name === '') throw wrong(`has no name in ${path}.keys[${i}]`);
    const bytes = Buffer.from(typeof secret === 'string' ? secret : '', 'base64');
    if (!sizes.includes(bytes.length))
      throw wrong(`has a secret of ${bytes.length} bytes in ${path}.keys[${i}], expected base64 of ${sizes.join(' or ')}`);
    return { name, secret: bytes };
  });
}

function kms(settings: Readonly<Record<string, unknown>>, path: string): EncryptionProvider {
  const { apiVersion = 'v1', name, endpoint, timeout } = settings;
  if (apiVersion !== 'v1' && apiVersion !== 'v2') throw wrong(`asks for KMS ${shown(apiVersion)} in ${path}, expected v1 or v2`);
  if (typeof name !== 'string' || name === '') throw wrong(`has no name in ${path}`);
  if (typeof endpoint !== 'string' || !endpoint.startsWith('unix://')) throw wrong(`has no endpoint unix:///… in ${path}`);
  const nanos = timeout === undefined ? undefined : parseDuration(String(timeout));
  if (timeout !== undefined && nanos === undefined) throw wrong(`has a timeout that is no duration in ${path}`);
  return { type: 'kms', version: apiVersion, name, endpoint, timeout: nanos === undefined ? DEFAULT_TIMEOUT : Number(nanos / 1_000_000n) };
}

function list(value: unknown, path: string): readonly unknown[] {
  if (!Array.isArray(value) || value.length === 0) throw wrong(`has no list ${path}`);
  return value;
}

function record(value: unknown): Readonly<Record<string, unknown>> | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : undefined;
}

function shown(value: unknown): string {
  return beginning(JSON.stringify(value) ?? 'nothing');
}

function wrong(what: string): FerryError {
  return new FerryError('usage', `the encryption configuration ${what}`, {
    hint: 'Give the file that the API server is given by --encryption-provider-config.',
  });
}
