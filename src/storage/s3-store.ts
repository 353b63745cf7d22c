import {
  AbortMultipartUploadCommand,
  DeleteObjectCommand,
  HeadBucketCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  type S3Client,
} from '@aws-sdk/client-s3';
import { FerryError } from '../errors.js';
import type { ByteSink, ByteSource } from '../model/bytes.js';
import { LARGEST_SMALL, type ObjectStore, type StoredObject, type UnfinishedObject } from './object-store.js';
import { getObject, S3Bytes } from './s3-bytes.js';
import { s3Client } from './s3-client.js';
import { isMissing, isNotImplemented, isRefused, s3Error } from './s3-errors.js';
import type { S3Settings } from './s3-settings.js';
import { refuseTaken, S3Upload } from './s3-upload.js';

/** The most objects, or unfinished uploads, that are listed: an archive an hour for ten years. */
const MOST_LISTED = 100_000;
/** The most pages of a listing, whose pages may be empty. */
const MOST_PAGES = 10_000;

/** A place in a bucket. */
export interface S3Place {
  readonly bucket: string;
  /** What all keys begin with, or the one key; no `/` at either end. */
  readonly key: string;
  /** As the user may see it. */
  readonly text: string;
}

/**
 * Opens a place in a bucket as a store. Nothing is asked of the server yet.
 *
 * @param signal ends every wait for the server
 */
export async function openS3Store(place: S3Place, settings: S3Settings, signal?: AbortSignal): Promise<ObjectStore> {
  return new S3Store(await s3Client(settings, signal), place);
}

/**
 * Opens one object for reading.
 *
 * @param signal ends every wait for the server
 * @throws FerryError `not-found`, and as every `ObjectStore` does
 */
export async function openS3Object(place: S3Place, settings: S3Settings, signal?: AbortSignal): Promise<ByteSource> {
  const client = await s3Client(settings, signal);
  try {
    return await openObject(client, place.bucket, place.key, place.text, () => client.destroy());
  } catch (thrown) {
    client.destroy();
    throw thrown;
  }
}

/**
 * Starts one object.
 *
 * @throws FerryError `in-the-way`, and as every `ObjectStore` does
 */
export async function createS3Object(
  place: S3Place,
  settings: S3Settings,
  options: { readonly overwrite: boolean; readonly signal: AbortSignal },
): Promise<ByteSink> {
  const client = await s3Client(settings, options.signal);
  const target = { bucket: place.bucket, key: place.key, name: place.text, overwrite: options.overwrite };
  if (!options.overwrite) await refuseTaken(client, target);
  return new S3Upload(client, target);
}

class S3Store implements ObjectStore {
  readonly name: string;
  readonly #client: S3Client;
  readonly #bucket: string;
  readonly #root: string;

  constructor(client: S3Client, place: S3Place) {
    this.#client = client;
    this.#bucket = place.bucket;
    this.#root = place.key === '' ? '' : `${place.key}/`;
    this.name = `s3://${place.bucket}/${this.#root}`.replace(/\/$/, '');
  }

  async list(folder: string): Promise<readonly StoredObject[]> {
    const prefix = this.#root + (folder === '' ? '' : `${folder}/`);
    const found: StoredObject[] = [];
    const pages = new PageCount(`listing ${this.name}`);
    for (let token: string | undefined; ; ) {
      const page = await this.#attempt(`listing ${this.name}`, () =>
        this.#client.send(
          new ListObjectsV2Command({
            Bucket: this.#bucket,
            Prefix: prefix,
            Delimiter: '/',
            ...(token === undefined ? {} : { ContinuationToken: token }),
          }),
        ),
      );
      for (const { Key = '', Size = 0, LastModified } of page.Contents ?? []) {
        const name = nameBelow(prefix, Key);
        if (name !== undefined && !name.includes('/')) found.push({ name, size: Size, modifiedAt: LastModified?.getTime() ?? 0 });
      }
      token = page.IsTruncated === true ? page.NextContinuationToken : undefined;
      if (token === undefined) return found;
      pages.next(found.length);
    }
  }

  async links(): Promise<readonly string[]> {
    return [];
  }

  open(name: string): Promise<ByteSource> {
    return openObject(this.#client, this.#bucket, this.#root + name, this.#nameOf(name), () => {});
  }

  async create(name: string): Promise<ByteSink> {
    const target = { bucket: this.#bucket, key: this.#root + name, name: this.#nameOf(name), overwrite: false };
    await refuseTaken(this.#client, target);
    return new S3Upload(this.#client, target);
  }

  async get(name: string): Promise<Buffer | undefined> {
    try {
      return await getObject(this.#client, this.#object(name), LARGEST_SMALL);
    } catch (thrown) {
      if (isMissing(thrown)) return undefined;
      throw s3Error(thrown, `reading ${this.#nameOf(name)}`);
    }
  }

  async put(name: string, bytes: Uint8Array): Promise<void> {
    await this.#attempt(`writing ${this.#nameOf(name)}`, () =>
      this.#client.send(new PutObjectCommand({ ...this.#object(name), Body: bytes })),
    );
  }

  async delete(name: string): Promise<void> {
    await this.#attempt(`removing ${this.#nameOf(name)}`, () => this.#client.send(new DeleteObjectCommand(this.#object(name))), isMissing);
  }

  async unfinished(): Promise<readonly UnfinishedObject[]> {
    const found: UnfinishedObject[] = [];
    const pages = new PageCount(`listing unfinished uploads in ${this.name}`);
    for (let markers: { KeyMarker?: string; UploadIdMarker?: string } = {}; ; ) {
      const page = await this.#attempt(
        `listing unfinished uploads in ${this.name}`,
        () => this.#client.send(new ListMultipartUploadsCommand({ Bucket: this.#bucket, Prefix: this.#root, ...markers })),
        // Not every look-alike can list them, nor may every user; a lifecycle rule of the bucket can clear them away, too.
        (thrown) => isNotImplemented(thrown) || isRefused(thrown),
      );
      for (const { Key = '', UploadId = '', Initiated } of page?.Uploads ?? []) {
        const name = nameBelow(this.#root, Key);
        if (name === undefined) continue;
        found.push({ name, startedAt: Initiated?.getTime() ?? 0, clear: () => this.#abortUpload(Key, UploadId) });
      }
      const { NextKeyMarker, NextUploadIdMarker } = page ?? {};
      if (page?.IsTruncated !== true || NextKeyMarker === undefined) return found;
      markers = { KeyMarker: NextKeyMarker, ...(NextUploadIdMarker === undefined ? {} : { UploadIdMarker: NextUploadIdMarker }) };
      pages.next(found.length);
    }
  }

  async close(): Promise<void> {
    this.#client.destroy();
  }

  async #abortUpload(key: string, id: string): Promise<void> {
    const command = new AbortMultipartUploadCommand({ Bucket: this.#bucket, Key: key, UploadId: id });
    await this.#attempt(`clearing s3://${this.#bucket}/${key}`, () => this.#client.send(command), isMissing);
  }

  /** @param isFine failures that are none */
  async #attempt<T>(doing: string, action: () => Promise<T>): Promise<T>;
  async #attempt<T>(doing: string, action: () => Promise<T>, isFine: (thrown: unknown) => boolean): Promise<T | undefined>;
  async #attempt<T>(doing: string, action: () => Promise<T>, isFine?: (thrown: unknown) => boolean): Promise<T | undefined> {
    try {
      return await action();
    } catch (thrown) {
      if (isFine?.(thrown) === true) return undefined;
      throw s3Error(thrown, doing);
    }
  }

  #object(name: string): { Bucket: string; Key: string } {
    return { Bucket: this.#bucket, Key: this.#root + name };
  }

  #nameOf(name: string): string {
    return `${this.name}/${name}`;
  }
}

/** The rest of a key that begins with a prefix; undefined for any other, which is none of ours whoever lists it. */
function nameBelow(prefix: string, key: string): string | undefined {
  return key.startsWith(prefix) && key.length > prefix.length ? key.slice(prefix.length) : undefined;
}

/** Ends a listing that does not end. */
class PageCount {
  readonly #doing: string;
  #pages = 0;

  constructor(doing: string) {
    this.#doing = doing;
  }

  /**
   * @param listed objects so far
   * @throws FerryError `failed` for more than a repository can have
   */
  next(listed: number): void {
    this.#pages++;
    if (listed <= MOST_LISTED && this.#pages <= MOST_PAGES) return;
    const message = `${this.#doing}: it has more than ${MOST_LISTED} objects, or does not end`;
    throw new FerryError('failed', message, { hint: 'Give the repository a prefix of its own, and check the server.' });
  }
}

async function openObject(client: S3Client, bucket: string, key: string, name: string, close: () => void): Promise<ByteSource> {
  try {
    const { ContentLength = 0, ETag } = await client.send(new HeadObjectCommand({ Bucket: bucket, Key: key }));
    return new S3Bytes(client, { bucket, key, name, size: ContentLength, etag: ETag }, close);
  } catch (thrown) {
    if (!isMissing(thrown)) throw s3Error(thrown, `reading ${name}`);
    // The answer to HEAD has no body that could tell a missing bucket.
    await client.send(new HeadBucketCommand({ Bucket: bucket })).catch((missing) => {
      if (isMissing(missing)) {
        throw new FerryError('unreachable', `reading ${name}: no such bucket`, { hint: 'Check its name and --s3-endpoint.' });
      }
    });
    throw new FerryError('not-found', `${name}: no such object`, { hint: 'Check the name.', cause: thrown });
  }
}
