import { PassThrough } from 'node:stream';
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  HeadObjectCommand,
  PutObjectCommand,
  type S3Client,
} from '@aws-sdk/client-s3';
import { Upload } from '@aws-sdk/lib-storage';
import { FerryError } from '../errors.js';
import type { ByteSink } from '../model/bytes.js';
import { isMissing, isNotImplemented, isTaken, s3Error } from './s3-errors.js';

/** Bytes of a part. S3 takes 10,000 of them: 80 GB. */
const PART_SIZE = 8 * 1024 * 1024;
/** Parts in memory, and on their way, at once. */
const PARTS_AT_ONCE = 4;

export interface S3UploadOptions {
  readonly bucket: string;
  readonly key: string;
  /** For messages. */
  readonly name: string;
  readonly overwrite: boolean;
}

/**
 * An object sent in parts while it is written, without a copy on the disk. S3 shows it when the last part
 * has arrived and all are put together, and not before.
 */
export class S3Upload implements ByteSink {
  readonly name: string;
  readonly #client: S3Client;
  readonly #options: S3UploadOptions;
  readonly #stop = new AbortController();
  readonly #stream = new PassThrough({ highWaterMark: 1024 * 1024 });
  readonly #done: Promise<void>;
  #failure: FerryError | undefined;
  #finished = false;

  constructor(client: S3Client, options: S3UploadOptions) {
    this.name = options.name;
    this.#client = client;
    this.#options = options;
    const { bucket, key, overwrite } = options;
    const upload = new Upload({
      client: this.#watched(client),
      params: { Bucket: bucket, Key: key, Body: this.#stream, ...(overwrite ? {} : { IfNoneMatch: '*' }) },
      partSize: PART_SIZE,
      queueSize: PARTS_AT_ONCE,
    });
    // Its own abort() does not wait for what is on its way; a stream that fails makes it clear up and wait.
    this.#stream.on('error', () => {});
    this.#done = upload.done().then(() => {});
    this.#done.catch((thrown) => this.#fail(thrown));
  }

  async write(chunk: Uint8Array): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#stream.write(chunk)) return;
    await this.#drained();
    if (this.#failure !== undefined) throw this.#failure;
  }

  async finish(): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    if (!this.#options.overwrite) await refuseTaken(this.#client, this.#options);
    this.#stream.end();
    try {
      await this.#done;
    } catch (thrown) {
      throw this.#failure ?? this.#explained(thrown);
    }
    this.#finished = true;
  }

  /** Parts that cannot be cleared away now, as the server does not answer, are for the next run. */
  async abort(): Promise<void> {
    if (this.#finished) return;
    this.#fail(new FerryError('failed', `writing ${this.name}: given up`));
    await this.#done.catch(() => {});
  }

  /** Waits until the stream takes more, or takes nothing any more. */
  async #drained(): Promise<void> {
    await new Promise<void>((resolve) => {
      const ready = (): void => {
        this.#stream.off('drain', ready);
        this.#stream.off('close', ready);
        resolve();
      };
      this.#stream.on('drain', ready);
      this.#stream.on('close', ready);
    });
  }

  #fail(thrown: unknown): void {
    this.#failure ??= this.#explained(thrown);
    this.#stop.abort();
    this.#stream.destroy(this.#failure);
  }

  #explained(thrown: unknown): FerryError {
    if (isTaken(thrown)) return taken(this.name, thrown);
    return s3Error(thrown, `writing ${this.name}`);
  }

  /** The same client, but what it sends can be stopped, and the first failure stops all. */
  #watched(client: S3Client): S3Client {
    const send = async (command: Parameters<S3Client['send']>[0]): Promise<unknown> => {
      if (command instanceof AbortMultipartUploadCommand) return client.send(command);
      const options = { abortSignal: this.#stop.signal };
      try {
        return await client.send(command, options).catch((thrown: unknown) => {
          if (!isNotImplemented(thrown)) throw thrown;
          return sendUnconditional(client, command, thrown);
        });
      } catch (thrown) {
        this.#fail(thrown);
        throw thrown;
      }
    };
    return Object.create(client, { send: { value: send } }) as S3Client;
  }
}

/** Sends a command again for a server that knows no conditional writes; throws the same again for any other command. */
function sendUnconditional(client: S3Client, command: unknown, thrown: unknown): Promise<unknown> {
  if (command instanceof PutObjectCommand && command.input.IfNoneMatch !== undefined) {
    const { IfNoneMatch: _, ...input } = command.input;
    return client.send(new PutObjectCommand(input));
  }
  if (command instanceof CompleteMultipartUploadCommand && command.input.IfNoneMatch !== undefined) {
    const { IfNoneMatch: _, ...input } = command.input;
    return client.send(new CompleteMultipartUploadCommand(input));
  }
  throw thrown;
}

/**
 * Looks whether an object is there: many look-alikes pass over the condition that S3 itself holds.
 *
 * @throws FerryError `in-the-way`
 */
export async function refuseTaken(client: S3Client, { bucket, key, name }: S3UploadOptions): Promise<void> {
  try {
    await client.send(new HeadObjectCommand({ Bucket: bucket, Key: key }));
  } catch (thrown) {
    if (isMissing(thrown)) return;
    throw s3Error(thrown, `writing ${name}`);
  }
  throw taken(name);
}

function taken(name: string, cause?: unknown): FerryError {
  return new FerryError('in-the-way', `${name}: exists already`, { hint: 'Choose another name, or --overwrite.', cause });
}
