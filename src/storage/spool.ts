import type { FileHandle } from 'node:fs/promises';
import { FerryError } from '../errors.js';
import type { ByteSource } from '../model/bytes.js';
import type { RunContext } from '../model/run.js';
import { openUnnamed } from '../sort/temporary.js';
import { ChunkWriter } from './chunk-writer.js';
import { FileBytes } from './file-bytes.js';

/**
 * Puts a stream that cannot seek into a temporary file. The file has mode 0600 and no name once it
 * is open, so that nothing is left however the run ends.
 *
 * @param name of what is spooled, for messages
 * @throws FerryError `no-space`, `not-writable` or `not-found` naming the directory; what the stream throws
 */
export async function spool(stream: AsyncIterable<Uint8Array>, tmpDir: string, run: RunContext, name = '-'): Promise<ByteSource> {
  const handle = await openSpool(tmpDir);
  try {
    return new FileBytes(handle, name, await fill(handle, stream, tmpDir, run));
  } catch (thrown) {
    await handle.close();
    throw thrown;
  }
}

async function openSpool(tmpDir: string): Promise<FileHandle> {
  try {
    return await openUnnamed(tmpDir);
  } catch (thrown) {
    throw FerryError.from(thrown, `a temporary file in ${tmpDir}`);
  }
}

/** @returns the number of bytes written */
async function fill(handle: FileHandle, stream: AsyncIterable<Uint8Array>, tmpDir: string, run: RunContext): Promise<number> {
  const writer = new ChunkWriter(handle);
  let bytes = 0;
  try {
    for await (const chunk of stream) {
      run.signal.throwIfAborted();
      bytes += chunk.length;
      await inTmpDir(tmpDir, writer.write(chunk));
      run.progress({ phase: 'spooling', records: 0, bytes });
    }
    await inTmpDir(tmpDir, writer.flush());
    return bytes;
  } finally {
    await writer.settle();
  }
}

async function inTmpDir(tmpDir: string, written: Promise<void>): Promise<void> {
  try {
    await written;
  } catch (thrown) {
    const error = FerryError.from(thrown, `a temporary file in ${tmpDir}`);
    if (error.code !== 'no-space') throw error;
    throw new FerryError('no-space', error.message, { hint: 'Free some space, or name another --tmp-dir.', cause: thrown });
  }
}
