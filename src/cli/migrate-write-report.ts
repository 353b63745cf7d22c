import { checkNewFile } from '../storage/file.js';
import { toJson } from './json.js';
import type { MigrationPage } from './migrate-html.js';
import { migrationJson } from './migrate-report.js';
import { type ReportFile, writeSmallFile } from './report-file.js';

/**
 * Makes sure that the reports can be written, before anything is done that they are to tell of.
 *
 * @throws FerryError as `checkNewFile` does
 */
export async function checkReportFiles(files: readonly ReportFile[]): Promise<void> {
  for (const { path } of files) await checkNewFile(path, { overwrite: true });
}

/**
 * Writes the reports the user asked for, in place of older ones.
 *
 * @throws FerryError as the disk does
 */
export async function writeReports(files: readonly ReportFile[], page: MigrationPage): Promise<void> {
  for (const { path, kind } of files) {
    await writeSmallFile(
      path,
      kind === 'html' ? (await import('./migrate-html.js')).migrationPage(page) : `${toJson(migrationJson(page.report, page.facts))}\n`,
    );
  }
}
