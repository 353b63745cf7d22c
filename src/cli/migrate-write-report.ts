import { toJson } from './json.js';
import type { MigrationPage } from './migrate-html.js';
import { migrationJson } from './migrate-report.js';
import { type ReportFile, writeSmallFile } from './report-file.js';

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
