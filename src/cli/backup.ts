import { FerryError } from '../errors.js';
import { type BackupArguments, buildBackup, type ParsedBackup } from './backup-options.js';
import { backupJson, backupText } from './backup-report.js';
import { pruneAfter, runBackup, tellWatchers } from './backup-run.js';
import type { Command } from './command.js';
import { pruneText } from './prune-report.js';
import { tellReport } from './report.js';
import type { Terminal } from './terminal.js';

export const backupCommand: Command<BackupArguments> = {
  spec: 'backup',
  describe: 'Read a source, write an archive',
  build: buildBackup,
  run,
};

async function run(args: ParsedBackup, terminal: Terminal): Promise<number> {
  if (args.profile !== undefined || args['all-profiles'] === true) {
    return (await import('./backup-profiles.js')).backUpProfiles(args, terminal, backUpOne);
  }
  const stray = (['config', 'parallel'] as const).find((name) => args[name] !== undefined);
  if (stray !== undefined) throw new FerryError('usage', `--${stray} is for profiles`, { hint: 'Choose one with --profile.' });
  return backUpOne(args, terminal);
}

async function backUpOne(args: ParsedBackup, terminal: Terminal, profile?: string): Promise<number> {
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
