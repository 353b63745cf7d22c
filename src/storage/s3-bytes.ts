import { GetObjectCommand, type GetObjectCommandInput, type S3Client } from '@aws-sdk/client-s3';
import { FerryError } from '../errors.js';
import type { ByteSource } from '../model/bytes.js';
import { AnswerTooLong } from './s3-answers.js';
import { isMissing, isTaken, s3Error } from './s3-errors.js';

/** An object in a bucket, as it was when it was opened. */
export interface S3Object {
  readonly bucket: string;
  readonly key: string;
  /** For messages. */
  readonly name: string;
  /** In bytes. */
  readonly size: number;
  /** What S3 tells it from other objects of its name by. */
  readonly etag: string | undefined;
}

/** Bytes at either end that are asked for in one request, as soon as one of them is wanted: most small reads are there. */
const EDGE = 128 * 1024;
/** Answers that break off are asked for so often in all. */
const TRIES = 4;

/**
 * Gets an object, or a range of it. The SDK asks again where no answer comes, but not where one breaks off.
 *
 * @param most bytes that are taken: what goes on beyond them is cut off
 * @throws AnswerTooLong, and what the SDK throws
 */
export async function getObject(client: S3Client, input: GetObjectCommandInput, most: number): Promise<Buffer> {
  for (let tries = 1; ; tries++) {
    const { Body } = await client.send(new GetObjectCommand(input));
    try {
      return await collect(Body as AsyncIterable<Uint8Array> | undefined, most);
    } catch (thrown) {
      // A FerryError is the reason for which the run is stopped.
      if (tries === TRIES || thrown instanceof AnswerTooLong || thrown instanceof FerryError) throw thrown;
    }
  }
}

async function collect(body: AsyncIterable<Uint8Array> | undefined, most: number): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of body ?? []) {
    length += chunk.length;
    // Leaving the loop closes the connection.
    if (length > most) throw new AnswerTooLong(most, '');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, length);
}

/** A part of an object, asked for once. */
interface Edge {
  readonly start: number;
  readonly end: number;
  bytes?: Promise<Buffer>;
}

/**
 * An object in a bucket as a source of bytes. Each read is a request for a range, but for those at its start and
 * its end (of a small object, anywhere): what is there is asked for once, and kept.
 */
export class S3Bytes implements ByteSource {
  readonly name: string;
  readonly size: number;
  readonly #client: S3Client;
  readonly #object: S3Object;
  readonly #close: () => void;
  readonly #edges: readonly Edge[];

  constructor(client: S3Client, object: S3Object, close: () => void) {
    this.name = object.name;
    this.size = object.size;
    this.#client = client;
    this.#object = object;
    this.#close = close;
    const { size } = object;
    const whole = size <= 2 * EDGE;
    this.#edges = whole
      ? [{ start: 0, end: size }]
      : [
          { start: 0, end: EDGE },
          { start: size - EDGE, end: size },
        ];
  }

  async read(offset: number, length: number): Promise<Buffer> {
    if (offset < 0 || length < 0 || offset + length > this.size) throw this.#cut(offset, length);
    if (length === 0) return Buffer.alloc(0);
    const edge = this.#edges.find(({ start, end }) => start <= offset && offset + length <= end);
    if (edge === undefined) return this.#get(offset, length);
    edge.bytes ??= this.#get(edge.start, edge.end - edge.start);
    try {
      const bytes = await edge.bytes;
      // The caller may change what it was given.
      return Buffer.from(bytes.subarray(offset - edge.start, offset - edge.start + length));
    } catch (thrown) {
      delete edge.bytes;
      throw thrown;
    }
  }

  async close(): Promise<void> {
    this.#close();
  }

  async #get(offset: number, length: number): Promise<Buffer> {
    const { bucket, key, etag } = this.#object;
    const range = `bytes=${offset}-${offset + length - 1}`;
    const condition = etag === undefined ? {} : { IfMatch: etag };
    try {
      const bytes = await getObject(this.#client, { Bucket: bucket, Key: key, Range: range, ...condition }, length);
      if (bytes.length !== length) throw this.#cut(offset, length);
      return bytes;
    } catch (thrown) {
      if (isMissing(thrown) || isTaken(thrown)) {
        throw new FerryError('failed', `${this.name}: was removed or replaced while it was read`, { cause: thrown });
      }
      throw s3Error(thrown, `reading ${this.name}`);
    }
  }

  #cut(offset: number, length: number): FerryError {
    return new FerryError('damaged', `${this.name}: ends before byte ${offset + length}; ${length} bytes at ${offset} were expected`);
  }
}
