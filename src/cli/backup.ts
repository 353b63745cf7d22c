import { FerryError } from '../errors.js';
import { type BackupArguments, buildBackup, type ParsedBackup } from './backup-options.js';
import type { Command } from './command.js';
import type { Terminal } from './terminal.js';

export const backupCommand: Command<BackupArguments> = {
  spec: 'backup',
  describe: 'Read a source, write an archive',
  build: buildBackup,
  run,
};

async function run(args: ParsedBackup, terminal: Terminal): Promise<number> {
  if (args.profile !== undefined || args['all-profiles'] === true) {
    return (await import('./backup-profiles.js')).backUpProfiles(args, terminal);
  }
  const stray = (['config', 'parallel'] as const).find((name) => args[name] !== undefined);
  if (stray !== undefined) throw new FerryError('usage', `--${stray} is for profiles`, { hint: 'Choose one with --profile.' });
  return (await import('./backup-one.js')).backUpOne(args, terminal);
}
