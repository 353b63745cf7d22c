import { randomUUID } from 'node:crypto';
import type { Client } from '@grpc/grpc-js';
import { FerryError } from '../../errors.js';
import { encodeFields } from '../../wire/fields.js';
import { contentsOf, integerOf } from '../codec/normalize-special.js';
import { type RawField, splitFields } from '../codec/unknown-fields.js';

/** What a KMS v2 plugin made of a key, and what it must be given to undo that. */
export interface SealedKey {
  readonly ciphertext: Buffer;
  readonly keyId: string;
  /** The message's annotation fields, as they stand in it, tags and all. */
  readonly annotations: readonly Buffer[];
}

const EMPTY: Buffer = Buffer.alloc(0);
/** gRPC status codes that mean the plugin did not answer (grpc/doc/statuscodes.md). */
const DEADLINE_EXCEEDED = 4;
const UNIMPLEMENTED = 12;
const UNAVAILABLE = 14;

/** A Kubernetes KMS plugin on its unix socket (k8s.io/kms apis v1beta1 and v2). */
export class KmsPlugin {
  readonly #version: 'v1' | 'v2';
  readonly #endpoint: string;
  readonly #timeout: number;
  #client: Promise<Client> | undefined;

  /**
   * @param endpoint `unix:///run/kms.sock`
   * @param timeout longest time to wait for an answer, in milliseconds
   */
  constructor(version: 'v1' | 'v2', endpoint: string, timeout: number) {
    this.#version = version;
    this.#endpoint = endpoint;
    this.#timeout = timeout;
  }

  /**
   * @returns undefined when the plugin refuses
   * @throws FerryError `unreachable` when it does not answer
   */
  async decrypt(sealed: SealedKey): Promise<Buffer | undefined> {
    const request =
      this.#version === 'v1'
        ? encodeFields([
            [0x0a, Buffer.from('v1beta1')],
            [0x12, sealed.ciphertext],
          ])
        : Buffer.concat([
            encodeFields([
              [0x0a, sealed.ciphertext],
              [0x12, Buffer.from(randomUUID())],
              [0x1a, Buffer.from(sealed.keyId)],
            ]),
            ...sealed.annotations,
          ]);
    const answer = await this.#call('Decrypt', request);
    return answer === undefined ? undefined : bytesField(splitFields(answer), 1);
  }

  /**
   * @throws FerryError `unreachable` when it does not answer, `failed` when it refuses
   */
  async encrypt(plain: Buffer): Promise<SealedKey> {
    const request =
      this.#version === 'v1'
        ? encodeFields([
            [0x0a, Buffer.from('v1beta1')],
            [0x12, plain],
          ])
        : encodeFields([
            [0x0a, plain],
            [0x12, Buffer.from(randomUUID())],
          ]);
    const answer = await this.#call('Encrypt', request);
    if (answer === undefined) throw new FerryError('failed', `the KMS plugin at ${this.#endpoint} refuses to encrypt`);
    const fields = splitFields(answer);
    // The answer has its annotations in field 3, a request and a stored value in field 4: same entry, another tag.
    const annotations = fields
      .filter((field) => field.number === 3)
      .map(({ bytes }) => Buffer.concat([Buffer.from([0x22]), bytes.subarray(1)]));
    return { ciphertext: bytesField(fields, 1), keyId: bytesField(fields, 2).toString(), annotations };
  }

  async close(): Promise<void> {
    (await this.#client)?.close();
  }

  async #call(method: 'Encrypt' | 'Decrypt', request: Buffer): Promise<Buffer | undefined> {
    this.#client ??= connect(this.#endpoint);
    const client = await this.#client;
    const { Metadata } = await import('@grpc/grpc-js');
    const path = `/${this.#version === 'v1' ? 'v1beta1' : 'v2'}.KeyManagementService/${method}`;
    const identity = (bytes: Buffer): Buffer => bytes;
    return new Promise((resolve, reject) => {
      const options = { deadline: Date.now() + this.#timeout };
      client.makeUnaryRequest(path, identity, identity, request, new Metadata(), options, (error, answer) => {
        if (error === null) resolve(answer);
        else if ([DEADLINE_EXCEEDED, UNAVAILABLE, UNIMPLEMENTED].includes(error.code)) {
          const hint = 'Start the plugin, and check the endpoint and apiVersion in the encryption configuration.';
          reject(new FerryError('unreachable', `the KMS plugin at ${this.#endpoint} does not answer`, { hint, cause: error }));
        } else resolve(undefined);
      });
    });
  }
}

async function connect(endpoint: string): Promise<Client> {
  const { Client, credentials } = await import('@grpc/grpc-js');
  return new Client(endpoint, credentials.createInsecure());
}

/** EncryptedObject of KMS v2, as it is stored (apiserver …/envelope/kmsv2/v2/api.proto). */
export interface KmsObject {
  readonly data: Buffer;
  readonly sealed: SealedKey;
  /** True: the plugin keeps a seed from which each object's key is derived. False: the key itself. */
  readonly isSeeded: boolean;
}

/**
 * @throws FerryError `damaged` when it does not parse
 */
export function readKmsObject(bytes: Buffer): KmsObject {
  const fields = splitFields(bytes);
  const type = fields.findLast((field) => field.number === 5);
  return {
    data: bytesField(fields, 1),
    sealed: {
      ciphertext: bytesField(fields, 3),
      keyId: bytesField(fields, 2).toString(),
      annotations: fields.filter((field) => field.number === 4).map((field) => field.bytes),
    },
    isSeeded: type !== undefined && integerOf(type) === 1n,
  };
}

export function writeKmsObject({ data, sealed, isSeeded }: KmsObject): Buffer {
  return Buffer.concat([
    encodeFields([
      [0x0a, data],
      [0x12, Buffer.from(sealed.keyId)],
      [0x1a, sealed.ciphertext],
    ]),
    ...sealed.annotations,
    encodeFields([[0x28, isSeeded ? 1n : 0n]]),
  ]);
}

function bytesField(fields: readonly RawField[], number: number): Buffer {
  const field = fields.findLast((one) => one.number === number);
  return (field === undefined ? undefined : contentsOf(field)) ?? EMPTY;
}
