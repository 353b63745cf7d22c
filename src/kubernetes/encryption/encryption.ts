import { randomBytes } from 'node:crypto';
import { CBOR_PREFIX } from '../codec/cbor.js';
import { ENVELOPE_PREFIX } from '../codec/envelope.js';
import { openCbc, openGcm, openSecretbox, openSeeded, sealCbc, sealGcm, sealSecretbox, sealSeeded } from './ciphers.js';
import type { EncryptionConfiguration, EncryptionKey, EncryptionProvider } from './config.js';
import { KmsPlugin, readKmsObject, type SealedKey, writeKmsObject } from './kms.js';
import { encryptionPrefix } from './prefix.js';

/** What became of a value that was to be decrypted. */
export type Decrypted =
  | {
      readonly opened: true;
      /** As it was before the API server encrypted it; the value itself when it is not encrypted. */
      readonly value: Buffer;
      /** `aescbc`, `aesgcm`, `secretbox`, `kms`; empty when the value is not encrypted. */
      readonly provider: string;
      readonly keyName: string;
    }
  /** No key of the configuration opens it. */
  | { readonly opened: false; readonly provider: string; readonly keyName: string };

/** A resource as an EncryptionConfiguration names it: `secrets` of group ``, `deployments` of `apps`. */
export interface ResourceName {
  readonly group: string;
  readonly resource: string;
}

type Kms = EncryptionProvider & { type: 'kms' };
type Keyed = Exclude<EncryptionProvider, Kms | { type: 'identity' }>;

/** Opened keys kept, by their sealed bytes. KMS v2 uses one for very many values, v1 one for each. */
const KEYS_KEPT = 1000;

/** Opens and seals values with an EncryptionConfiguration, as the API server does. */
export class Encryption implements AsyncDisposable {
  readonly #configuration: EncryptionConfiguration;
  readonly #providers: readonly EncryptionProvider[];
  readonly #plugins = new Map<string, KmsPlugin>();
  readonly #opened = new Map<string, Buffer>();
  readonly #seeds = new Map<Kms, Promise<{ seed: Buffer; sealed: SealedKey }>>();

  constructor(configuration: EncryptionConfiguration) {
    this.#configuration = configuration;
    this.#providers = configuration.resources.flatMap((entry) => entry.providers);
  }

  /**
   * Opens a value with whichever configured key does; whatever resource the key is meant for.
   *
   * @param key the etcd key, with its prefix, as the API server used it
   * @throws FerryError `unreachable` when a KMS plugin does not answer, `damaged` when a KMS envelope does not parse
   */
  async decrypt(bytes: Buffer, key: Buffer): Promise<Decrypted> {
    const prefix = encryptionPrefix(bytes);
    if (prefix === undefined) return { opened: true, value: bytes, provider: '', keyName: '' };
    const { provider, version, rest } = prefix;
    let likely: Decrypted | undefined;
    for (const { candidate, name, body } of this.#candidates(provider, version, rest)) {
      const value = candidate.type === 'kms' ? await this.#openKms(candidate, body, key) : open(candidate.type, candidate.key, body, key);
      if (value === undefined) continue;
      const decrypted = { opened: true, value, provider, keyName: name } as const;
      // CBC does not notice a wrong key for sure.
      if (provider !== 'aescbc' || looksStored(value)) return decrypted;
      likely ??= decrypted;
    }
    return likely ?? { opened: false, provider, keyName: prefix.keyName };
  }

  /**
   * Seals a value with the first provider that the configuration has for its resource; where it has
   * none, or the first is `identity`, the value stays as it is.
   *
   * @param key the etcd key it is going to be stored under
   * @throws FerryError `unreachable` or `failed` when a KMS plugin does not answer, or refuses
   */
  async encrypt(value: Buffer, key: Buffer, resource: ResourceName): Promise<Buffer> {
    const provider = this.providerFor(resource);
    if (provider === undefined || provider.type === 'identity') return value;
    if (provider.type === 'kms') return this.#sealKms(provider, value, key);
    const [first] = provider.keys as [EncryptionKey];
    const body =
      provider.type === 'aesgcm'
        ? sealGcm(first.secret, value, key)
        : provider.type === 'aescbc'
          ? sealCbc(first.secret, value, key)
          : sealSecretbox(first.secret, value, key);
    return Buffer.concat([Buffer.from(`k8s:enc:${provider.type}:v1:${first.name}:`), body]);
  }

  /**
   * Opens a value and seals it anew for the key it moves to.
   *
   * @returns the value to be stored, or what `decrypt` says of one that no key opens
   */
  async reencrypt(bytes: Buffer, from: Buffer, to: Buffer, resource: ResourceName): Promise<Decrypted> {
    const decrypted = await this.decrypt(bytes, from);
    return decrypted.opened ? { ...decrypted, value: await this.encrypt(decrypted.value, to, resource) } : decrypted;
  }

  /** The provider that writes a resource: the first of the first entry that names it (`secrets`, `deployments.apps`, `*.apps`, `*.`, `*.*`). */
  providerFor({ group, resource }: ResourceName): EncryptionProvider | undefined {
    const names = [group === '' ? resource : `${resource}.${group}`, `*.${group}`, '*.*'];
    return this.#configuration.resources.find((entry) => entry.resources.some((name) => names.includes(name)))?.providers[0];
  }

  async close(): Promise<void> {
    for (const plugin of this.#plugins.values()) await plugin.close();
    this.#plugins.clear();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Every key of the provider's kind, those of the right name first. */
  #candidates(provider: string, version: string, rest: Buffer): Candidate[] {
    const named: Candidate[] = [];
    const others: Candidate[] = [];
    const add = (candidate: Candidate['candidate'], name: string): void => {
      const prefix = Buffer.from(`${name}:`);
      if (rest.subarray(0, prefix.length).equals(prefix)) named.push({ candidate, name, body: rest.subarray(prefix.length) });
      else others.push({ candidate, name, body: rest.subarray(rest.indexOf(0x3a) + 1) });
    };
    for (const one of this.#providers) {
      if (one.type !== provider || one.type === 'identity') continue;
      if (one.type === 'kms') {
        if (one.version === version) add(one, one.name);
      } else if (version === 'v1') for (const key of one.keys) add({ type: one.type, key }, key.name);
    }
    // A key under another name may open what is authenticated; with CBC any key might seem to.
    return provider === 'aescbc' ? named : [...named, ...others];
  }

  async #openKms(provider: Kms, body: Buffer, key: Buffer): Promise<Buffer | undefined> {
    if (provider.version === 'v2') {
      const { data, sealed, isSeeded } = readKmsObject(body);
      const secret = await this.#openKey(provider, sealed);
      if (secret?.length !== 32) return undefined;
      return isSeeded ? openSeeded(secret, data, key) : openGcm(secret, data, key);
    }
    if (body.length < 2 || body.length < 2 + body.readUInt16BE(0)) return undefined;
    const end = 2 + body.readUInt16BE(0);
    const secret = await this.#openKey(provider, { ciphertext: body.subarray(2, end), keyId: '', annotations: [] });
    if (secret === undefined || ![16, 24, 32].includes(secret.length)) return undefined;
    // AES-GCM since Kubernetes 1.25, AES-CBC before.
    return openGcm(secret, body.subarray(end), key) ?? openCbc(secret, body.subarray(end));
  }

  async #openKey(provider: Kms, sealed: SealedKey): Promise<Buffer | undefined> {
    const id = [provider.endpoint, sealed.ciphertext.toString('latin1'), sealed.keyId, ...sealed.annotations.map(String)].join('\0');
    const known = this.#opened.get(id);
    if (known !== undefined) return known;
    const secret = await this.#plugin(provider).decrypt(sealed);
    if (secret !== undefined) {
      if (this.#opened.size >= KEYS_KEPT) this.#opened.clear();
      this.#opened.set(id, secret);
    }
    return secret;
  }

  async #sealKms(provider: Kms, value: Buffer, key: Buffer): Promise<Buffer> {
    const prefix = Buffer.from(`k8s:enc:kms:${provider.version}:${provider.name}:`);
    if (provider.version === 'v2') {
      let made = this.#seeds.get(provider);
      if (made === undefined) {
        made = this.#newSeed(provider);
        this.#seeds.set(provider, made);
      }
      const { seed, sealed } = await made;
      return Buffer.concat([prefix, writeKmsObject({ data: sealSeeded(seed, value, key), sealed, isSeeded: true })]);
    }
    const secret = randomBytes(32);
    const { ciphertext } = await this.#plugin(provider).encrypt(secret);
    const length = Buffer.alloc(2);
    length.writeUInt16BE(ciphertext.length);
    return Buffer.concat([prefix, length, ciphertext, sealGcm(secret, value, key)]);
  }

  async #newSeed(provider: Kms): Promise<{ seed: Buffer; sealed: SealedKey }> {
    const seed = randomBytes(32);
    return { seed, sealed: await this.#plugin(provider).encrypt(seed) };
  }

  #plugin(provider: Kms): KmsPlugin {
    const id = `${provider.version} ${provider.endpoint}`;
    let plugin = this.#plugins.get(id);
    if (plugin === undefined) {
      plugin = new KmsPlugin(provider.version, provider.endpoint, provider.timeout);
      this.#plugins.set(id, plugin);
    }
    return plugin;
  }
}

interface Candidate {
  readonly candidate: Kms | { readonly type: Keyed['type']; readonly key: EncryptionKey };
  readonly name: string;
  readonly body: Buffer;
}

function open(type: Keyed['type'], { secret }: EncryptionKey, body: Buffer, key: Buffer): Buffer | undefined {
  if (type === 'aesgcm') return openGcm(secret, body, key);
  return type === 'aescbc' ? openCbc(secret, body) : openSecretbox(secret, body);
}

/** Whether bytes begin as Kubernetes' storage formats do. */
function looksStored(value: Buffer): boolean {
  return value[0] === 0x7b || [ENVELOPE_PREFIX, CBOR_PREFIX].some((prefix) => value.subarray(0, prefix.length).equals(prefix));
}
