import { tmpdir } from 'node:os';
import type { ArgumentsCamelCase, Argv } from 'yargs';
import { parseRevision } from '../locations/quantity.js';
import { type Command, type Declared, examples, exitStatus, shownRun } from './command.js';
import { toJson } from './json.js';
import { fileOptions, outputOptions, spoolOptions } from './options.js';
import { defined, parsed } from './requests.js';
import { put, type Terminal } from './terminal.js';

const build = (yargs: Argv) =>
  yargs
    .positional('file', { type: 'string', demandOption: true, describe: 'Snapshot file, or a copy of member/snap/db' })
    .options({
      revision: { type: 'string', describe: 'Hash up to this revision, not the latest' },
      ...fileOptions,
      'tmp-dir': spoolOptions['tmp-dir'],
      json: outputOptions.json,
    } as const)
    .epilogue(examples(['the number that etcdctl endpoint hashkv prints for that member', 'etcdferry hashkv snapshot.db']))
    .epilogue(exitStatus(0, 2, 12, 130));

type Arguments = Declared<typeof build>;

export const hashkvCommand: Command<Arguments> = {
  spec: 'hashkv <file>',
  describe: 'The hash `etcdctl endpoint hashkv` would give, from a file',
  build,
  run,
};

async function run(args: ArgumentsCamelCase<Arguments>, terminal: Terminal): Promise<number> {
  const { hashKvOf } = await import('../jobs/hashkv.js');
  const { run: context, display } = shownRun(terminal, {});
  const options = {
    tmpDir: args['tmp-dir'] ?? tmpdir(),
    ...defined('revision', parsed(args, 'revision', parseRevision)),
  };
  const { hash, revision, compactRevision } = await hashKvOf(args.file, options, context).finally(() => display.clear());
  await put(terminal, args.json === true ? `${toJson({ schema: 'etcdferry.hashkv/v1', hash, revision, compactRevision })}\n` : `${hash}\n`);
  return 0;
}
