import type { ByteSink, ByteSource } from '../model/bytes.js';

/** The most bytes of a small object, read whole: a lock or a summary has a few hundred. */
export const LARGEST_SMALL = 1024 * 1024;

/** What a listing tells of one object. */
export interface StoredObject {
  /** In the folder that was listed; no `/` in it. */
  readonly name: string;
  /** In bytes. */
  readonly size: number;
  /** By the store's own clock, in milliseconds since the Unix epoch. */
  readonly modifiedAt: number;
}

/** Something that was begun and has not got its name: a temporary file, a multipart upload. */
export interface UnfinishedObject {
  /** The name it was to have: all of it, with its folder where it tells. */
  readonly name: string;
  /** By the store's own clock, in milliseconds since the Unix epoch. */
  readonly startedAt: number;
  /** Clears it away; what is gone already is no error. */
  readonly clear: () => Promise<void>;
}

/**
 * Where a repository's objects lie: a directory, or a prefix in a bucket. A name is a path with `/`
 * between its parts, under the store's own root. What was written is seen by the next call, anyone's.
 * Every method throws FerryError: `unreachable` or `unauthorized` for a store that does not answer or
 * refuses, `not-writable`, `no-space`.
 */
export interface ObjectStore {
  /** The location as the user may see it. */
  readonly name: string;
  /** The objects directly in a folder (`''` is the root), by name; none for a folder that is not there. */
  list(folder: string): Promise<readonly StoredObject[]>;
  /** The names in the root that are symbolic links, which no other method knows; none in a bucket. */
  links(): Promise<readonly string[]>;
  /**
   * Opens an object for reads of any part of it.
   * @throws FerryError `not-found`
   */
  open(name: string): Promise<ByteSource>;
  /**
   * Starts an object that appears under its name when it is finished, whole, and never before.
   * @throws FerryError `in-the-way`, here or when it is finished, for a name that is taken
   */
  create(name: string): Promise<ByteSink>;
  /** A small object's bytes, or undefined where there is none; one that is larger than `LARGEST_SMALL` is `failed`. */
  get(name: string): Promise<Buffer | undefined>;
  /** Writes a small object, in the place of what was there; it is seen whole or not at all. */
  put(name: string, bytes: Uint8Array): Promise<void>;
  /** Removes an object; one that is not there is no error. */
  delete(name: string): Promise<void>;
  /** What was begun and not finished, by anyone; empty where the store cannot tell. */
  unfinished(): Promise<readonly UnfinishedObject[]>;
  close(): Promise<void>;
}
