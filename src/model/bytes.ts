/** Random access to stored bytes: a file, an object in a bucket, a spooled stream. */
export interface ByteSource {
  /** Name for messages; no credentials in it. */
  readonly name: string;
  /** Size in bytes. */
  readonly size: number;
  /**
   * Reads exactly `length` bytes at `offset`; the memory is the caller's.
   * @throws FerryError `damaged` when the range is not all there
   */
  read(offset: number, length: number): Promise<Buffer>;
  /**
   * Fills all of `target` from `offset`, for readers that use their memory again; where a source has
   * none, `read` does.
   * @throws FerryError `damaged` when the range is not all there
   */
  readInto?(target: Uint8Array, offset: number): Promise<void>;
  /** Size and time of the last change as they are now, as text to be compared; left out where nobody else can write to it. */
  stamp?(): Promise<string>;
  close(): Promise<void>;
}

/** Somewhere to write bytes to, in order, that becomes visible only when finished. */
export interface ByteSink {
  readonly name: string;
  /** Writes a chunk; the sink may keep the memory. Resolves when more can be taken. */
  write(chunk: Uint8Array): Promise<void>;
  /** Makes the bytes durable and visible under the final name. */
  finish(): Promise<void>;
  /** Removes whatever was written. Safe to call after any failure, and after `finish` (does nothing). */
  abort(): Promise<void>;
}
