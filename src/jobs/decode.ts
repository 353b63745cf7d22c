import { readFile } from 'node:fs/promises';
import { FerryError } from '../errors.js';
import type { Encryption } from '../kubernetes/encryption/encryption.js';
import { storedValuesIn } from '../kubernetes/raw-output.js';
import { type ShownValue, showValue } from './show-value.js';

/** What became of one stored value of an input. */
export type DecodeResult =
  | { readonly file: string; readonly key: Buffer | undefined; readonly value: ShownValue; readonly error?: undefined }
  | { readonly file: string; readonly key?: undefined; readonly value?: undefined; readonly error: FerryError };

export interface DecodeOptions {
  /** The etcd key of a ciphertext, where the input does not tell it. */
  readonly key?: Buffer;
  readonly encryption?: Encryption;
  /** What `-` stands for. */
  readonly stdin: AsyncIterable<Uint8Array>;
}

/**
 * Decodes files of stored values: bytes as they are in etcd, or the raw output of `etcdctl get`.
 *
 * @param files paths, or `-`; one that fails does not keep the others from being decoded
 */
export async function* decode(files: readonly string[], options: DecodeOptions): AsyncIterable<DecodeResult> {
  for (const file of files) {
    try {
      yield* decodeFile(file, options);
    } catch (thrown) {
      yield { file, error: FerryError.from(thrown, file) };
    }
  }
}

async function* decodeFile(file: string, options: DecodeOptions): AsyncIterable<DecodeResult> {
  const bytes = await inputBytes(file, options.stdin);
  if (bytes.length === 0) throw new FerryError('damaged', `${file}: is empty; a stored value was expected`);
  for (const found of storedValuesIn(bytes)) {
    const key = found.key ?? options.key;
    try {
      yield { file, key: found.key, value: await showValue(key ?? Buffer.alloc(0), found.value, options.encryption) };
    } catch (thrown) {
      yield { file, error: FerryError.from(thrown, file) };
    }
  }
}

/**
 * The whole of an input.
 *
 * @param file a path, or `-` for `stdin`
 * @throws FerryError `not-found`, `usage` or `not-writable` when it cannot be read
 */
export async function inputBytes(file: string, stdin: AsyncIterable<Uint8Array>): Promise<Buffer> {
  if (file !== '-') {
    return readFile(file).catch((thrown) => {
      throw FerryError.from(thrown, file);
    });
  }
  const chunks: Uint8Array[] = [];
  for await (const chunk of stdin) chunks.push(chunk);
  return Buffer.concat(chunks);
}
