import { FerryError } from '../errors.js';
import { createFile } from '../storage/file.js';

/** A report as the user wants it kept: what it is, is told by the ending. */
export interface ReportFile {
  readonly path: string;
  readonly kind: 'json' | 'html';
}

/**
 * The files of `--report`.
 *
 * @throws FerryError `usage` for one that ends in neither `.json` nor `.html`
 */
export function reportFiles(paths: readonly string[] = []): ReportFile[] {
  return paths.map((path) => {
    const kind = /\.(json|html)$/.exec(path)?.[1];
    if (kind !== undefined) return { path, kind: kind as 'json' | 'html' };
    throw new FerryError('usage', `--report ${path}: the ending does not tell what to write`, { hint: 'End it in .json or .html.' });
  });
}

/** Writes a small file whole, in place of one of the same name. */
export async function writeSmallFile(path: string, text: string): Promise<void> {
  const sink = await createFile(path, { overwrite: true });
  try {
    await sink.write(Buffer.from(text));
    await sink.finish();
  } catch (thrown) {
    await sink.abort();
    throw FerryError.from(thrown, `writing ${path}`);
  }
}
