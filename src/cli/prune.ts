import type { ArgumentsCamelCase, Argv } from 'yargs';
import type { PruneReport } from '../jobs/prune.js';
import { parseLocation } from '../locations/parse.js';
import { parseDuration } from '../locations/quantity.js';
import { type Command, type Declared, examples, exitStatus, shownRun } from './command.js';
import { toJson } from './json.js';
import { outputOptions } from './options.js';
import { pruneJson, pruneText } from './prune-report.js';
import { s3Options, s3Settings } from './repository-options.js';
import { defined, parsed } from './requests.js';
import { requiredPolicy, retentionOptions } from './retention-options.js';
import { put, putText, say, type Terminal } from './terminal.js';

const build = (yargs: Argv) =>
  yargs
    .positional('repository', { type: 'string', demandOption: true, describe: 'Repository: a directory, or s3://bucket/prefix' })
    .options({
      ...retentionOptions,
      name: { type: 'string', array: true, requiresArg: true, describe: 'Only archives of this NAME (repeatable)' },
      'dry-run': { type: 'boolean', describe: 'Say for each archive why it stays or goes, remove nothing' },
      wait: { type: 'string', describe: "How long to wait for another run's lock", defaultDescription: '0s' },
      ...s3Options,
      ...outputOptions,
    } as const)
    .epilogue(
      examples(
        ['see what would go, and why', 'etcdferry prune /backup/etcd --keep-daily 7 --keep-weekly 4 --dry-run'],
        ['keep all of the last month, then one a month', 'etcdferry prune s3://bucket/etcd --keep-within 30d --keep-monthly 12'],
      ),
    )
    .epilogue(exitStatus(0, 1, 2, 10, 14, 130));

type Arguments = Declared<typeof build>;

export const pruneCommand: Command<Arguments> = {
  spec: 'prune <repository>',
  describe: "Remove archives that a policy does not keep, by the rules of restic's forget",
  build,
  run,
};

async function run(args: ArgumentsCamelCase<Arguments>, terminal: Terminal): Promise<number> {
  const [{ prune }, { openRepository }] = await Promise.all([import('../jobs/prune.js'), import('../locations/repository.js')]);
  const policy = await requiredPolicy(args);
  const wait = parsed(args, 'wait', parseDuration);
  const { run: context, display } = shownRun(terminal, args);
  const request = { location: parseLocation(args.repository), ...defined('s3', s3Settings(args, terminal)) };
  await using repository = await openRepository(request, context);
  const options = { policy, dryRun: args['dry-run'] === true, ...defined('names', args.name), ...defined('wait', wait) };
  const report = await prune(repository, options, context).finally(() => display.clear());
  if (args.json === true) await put(terminal, `${toJson(pruneJson(report))}\n`);
  else {
    if (report.dryRun) await putText(terminal, await decisionTable(report));
    if (args.quiet !== true) say(terminal, pruneText(report));
  }
  return 0;
}

async function decisionTable({ decisions }: PruneReport): Promise<string> {
  const { table } = await import('./table.js');
  const rows = decisions.map(({ archive, keep, reasons }) => [keep ? 'stays' : 'goes', archive.file, reasons.join(', ')]);
  return table(['', 'ARCHIVE', 'WHY'], rows);
}
