import { FerryError } from '../errors.js';
import { createFile } from '../storage/file.js';

/** A report as the user wants it kept: what it is, is told by the ending. */
export interface ReportFile<K extends string = 'json' | 'html'> {
  readonly path: string;
  readonly kind: K;
}

/**
 * The files of `--report`.
 *
 * @throws FerryError `usage` for one that ends in neither `.json` nor `.html`
 */
export function reportFiles(paths: readonly string[] = []): ReportFile[] {
  return filesEndingIn(['json', 'html'], paths);
}

/**
 * The files of `--report` of a command that checks things, for CI servers.
 *
 * @throws FerryError `usage` for one that ends in neither `.xml` (JUnit) nor `.json`
 */
export function checkReportFiles(paths: readonly string[] = []): ReportFile<'xml' | 'json'>[] {
  return filesEndingIn(['xml', 'json'], paths);
}

function filesEndingIn<K extends string>(kinds: readonly K[], paths: readonly string[]): ReportFile<K>[] {
  return paths.map((path) => {
    const kind = kinds.find((each) => path.endsWith(`.${each}`));
    if (kind !== undefined) return { path, kind };
    throw new FerryError('usage', `--report ${path}: the ending does not tell what to write`, {
      hint: `End it in ${kinds.map((each) => `.${each}`).join(' or ')}.`,
    });
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
