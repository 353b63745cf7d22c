import { FerryError } from '../errors.js';
import { detect } from '../locations/detect.js';
import type { RunContext } from '../model/run.js';
import { type HashKv, type HashKvOptions, hashKv } from '../readers/snapshot-file-hashkv.js';
import { openFile } from '../storage/file.js';

/**
 * The hash that `etcdctl endpoint hashkv` gives of a member with this snapshot file or raw `db`.
 *
 * @throws FerryError `usage` when it is a directory or an archive, `damaged` for anything else it is not
 */
export async function hashKvOf(path: string, options: HashKvOptions, run: RunContext): Promise<HashKv> {
  const found = await detect(path);
  if (found === 'missing') throw new FerryError('not-found', `${path}: no such file or directory`, { hint: 'Check the path.' });
  if (found === 'archive' || found === 'directory' || found === 'data-dir') {
    throw new FerryError('usage', `${path} is no snapshot file; hashkv needs one`, {
      hint: "Name a .db file, or a stopped member's member/snap/db.",
    });
  }
  const bytes = await openFile(path);
  try {
    return await hashKv(bytes, { ...options, path }, run);
  } finally {
    await bytes.close();
  }
}
