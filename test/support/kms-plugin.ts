import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as grpc from '@grpc/grpc-js';
import protobuf from 'protobufjs';

// k8s.io/kms/apis/v1beta1/api.proto and v2/api.proto, as far as they are used.
const { root } = protobuf.parse(
  `
  syntax = "proto3";
  message EncryptRequestV1 { string version = 1; bytes plain = 2; }
  message EncryptResponseV1 { bytes cipher = 1; }
  message DecryptRequestV1 { string version = 1; bytes cipher = 2; }
  message DecryptResponseV1 { bytes plain = 1; }
  message EncryptRequestV2 { bytes plaintext = 1; string uid = 2; }
  message EncryptResponseV2 { bytes ciphertext = 1; string key_id = 2; map<string, bytes> annotations = 3; }
  message DecryptRequestV2 { bytes ciphertext = 1; string uid = 2; string key_id = 3; map<string, bytes> annotations = 4; }
  message DecryptResponseV2 { bytes plaintext = 1; }
`,
  { keepCase: true },
);

type Message = Record<string, unknown>;

/** A KMS plugin on a unix socket that seals with AES-GCM under a key of its own, in both versions of the API. */
export class KmsTestPlugin implements AsyncDisposable {
  readonly endpoint: string;
  /** How often a key was opened. */
  decrypted = 0;
  /** How often one was sealed. */
  encrypted = 0;
  readonly #secret = randomBytes(32);
  readonly #directory: string;
  readonly #server = new grpc.Server();

  private constructor() {
    this.#directory = mkdtempSync(join(tmpdir(), 'kms-'));
    this.endpoint = `unix://${join(this.#directory, 'kms.sock')}`;
    this.#serve('v1beta1', 'V1', {
      Encrypt: ({ plain }) => ({ cipher: this.#seal(plain as Buffer) }),
      Decrypt: ({ cipher }) => ({ plain: this.#open(cipher as Buffer) }),
    });
    this.#serve('v2', 'V2', {
      Encrypt: ({ plaintext }) => ({
        ciphertext: this.#seal(plaintext as Buffer),
        key_id: 'kek-1',
        annotations: { 'a.test.example': Buffer.from('needed') },
      }),
      Decrypt: ({ ciphertext, key_id, annotations }) => {
        const annotation = (annotations as Record<string, Buffer>)['a.test.example'];
        if (key_id !== 'kek-1' || annotation?.toString() !== 'needed') throw new Error('key id and annotations do not come back');
        return { plaintext: this.#open(ciphertext as Buffer) };
      },
    });
  }

  static async start(): Promise<KmsTestPlugin> {
    const plugin = new KmsTestPlugin();
    await new Promise<void>((resolve, reject) => {
      plugin.#server.bindAsync(plugin.endpoint, grpc.ServerCredentials.createInsecure(), (error) =>
        error === null ? resolve() : reject(error),
      );
    });
    return plugin;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.forceShutdown();
    rmSync(this.#directory, { recursive: true, force: true });
  }

  #serve(name: string, version: string, methods: Record<string, (request: Message) => Message>): void {
    const entries = Object.entries(methods).map(([method, handle]) => {
      const [request, response] = [root.lookupType(`${method}Request${version}`), root.lookupType(`${method}Response${version}`)];
      const definition: grpc.MethodDefinition<Message, Message> = {
        path: `/${name}.KeyManagementService/${method}`,
        requestStream: false,
        responseStream: false,
        requestSerialize: (value) => Buffer.from(request.encode(value).finish()),
        requestDeserialize: (bytes) => request.toObject(request.decode(bytes), { bytes: Buffer }),
        responseSerialize: (value) => Buffer.from(response.encode(value).finish()),
        responseDeserialize: (bytes) => response.toObject(response.decode(bytes), { bytes: Buffer }),
      };
      const implementation: grpc.handleUnaryCall<Message, Message> = (call, done) => {
        try {
          done(null, handle(call.request));
        } catch (thrown) {
          done({ code: grpc.status.INVALID_ARGUMENT, details: String(thrown) });
        }
      };
      return [method, definition, implementation] as const;
    });
    this.#server.addService(
      Object.fromEntries(entries.map(([method, definition]) => [method, definition])),
      Object.fromEntries(entries.map(([method, , implementation]) => [method, implementation])),
    );
  }

  #seal(plain: Buffer): Buffer {
    this.encrypted++;
    const nonce = randomBytes(12);
    const cipher = createCipheriv('aes-256-gcm', this.#secret, nonce);
    return Buffer.concat([nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
  }

  #open(sealed: Buffer): Buffer {
    this.decrypted++;
    const decipher = createDecipheriv('aes-256-gcm', this.#secret, sealed.subarray(0, 12));
    decipher.setAuthTag(sealed.subarray(-16));
    return Buffer.concat([decipher.update(sealed.subarray(12, -16)), decipher.final()]);
  }
}
