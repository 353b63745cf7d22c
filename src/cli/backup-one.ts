import { FerryError } from '../errors.js';
import type { ParsedBackup } from './backup-options.js';
import { backupJson, backupText } from './backup-report.js';
import { pruneAfter, runBackup, tellWatchers } from './backup-run.js';
import { pruneText } from './prune-report.js';
import { tellReport } from './report.js';
import type { Terminal } from './terminal.js';

/**
 * Makes one backup, with all that belongs to it, and tells of it.
 *
 * @param profile it is of
 * @returns the exit status
 * @throws FerryError what went wrong, when all that could be told has been
 */
export async function backUpOne(args: ParsedBackup, terminal: Terminal, profile?: string): Promise<number> {
  const done = await runBackup(args, terminal, profile);
  await pruneAfter(done);
  await tellWatchers(done);
  const { report, milliseconds = 0, pruned, error } = done;
  if (report === undefined) throw error ?? new FerryError('failed', 'the backup left no report');
  const text = backupText(report, milliseconds);
  const summary = pruned === undefined ? text : `${text}\n${pruneText(pruned)}`;
  const told = { summary, document: backupJson(report, milliseconds, pruned), notes: report.notes, stdoutTaken: args.to === '-' };
  // With a failure behind the backup, the document is the failure's.
  const exit = await tellReport(told, error === undefined ? args : { ...args, json: false }, terminal);
  if (error !== undefined) throw error;
  return exit;
}
