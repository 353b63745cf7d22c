import type { ByteSource } from '../model/bytes.js';

/** Fills `target` from a source, by the source's own means where it has them. */
export async function readInto(source: ByteSource, target: Buffer, offset: number): Promise<void> {
  if (source.readInto !== undefined) await source.readInto(target, offset);
  else (await source.read(offset, target.length)).copy(target);
}
