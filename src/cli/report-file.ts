import { stat } from 'node:fs/promises';
import { FerryError } from '../errors.js';
import { checkNewFile, createFile } from '../storage/file.js';

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

/**
 * Makes sure, before the work, that the reports can be written, and that none is in the place of something that is read.
 *
 * @param read what is read, of which some may be no path, or none at all
 * @throws FerryError `usage`
 */
export async function refuseUnwritable(files: readonly ReportFile<string>[], read: readonly (string | undefined)[]): Promise<void> {
  const sources = (await Promise.all(read.map(fileAt))).filter((found) => found !== undefined);
  for (const { path } of files) {
    await checkNewFile(path, { overwrite: true }).catch((thrown: unknown) => {
      const { message, hint } = FerryError.from(thrown);
      throw new FerryError('usage', `--report ${message}`, { ...(hint === undefined ? {} : { hint }), cause: thrown });
    });
    const found = await fileAt(path);
    if (found !== undefined && sources.includes(found)) {
      throw new FerryError('usage', `--report ${path} is one of the files that are read`, {
        hint: 'Name another file: a report replaces what is there.',
      });
    }
  }
}

/** What tells a file from all others, whatever the path to it; undefined where there is none. */
async function fileAt(path: string | undefined): Promise<string | undefined> {
  const found = path === undefined ? undefined : await stat(path, { bigint: true }).catch(() => undefined);
  return found === undefined ? undefined : `${found.dev}:${found.ino}`;
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
