import type { ArgumentsCamelCase, Argv } from 'yargs';
import type { CopiedArchive, CopyReport } from '../jobs/copy.js';
import { parseLocation } from '../locations/parse.js';
import { parseDuration } from '../locations/quantity.js';
import { harmless, harmlessLine } from '../model/shown-text.js';
import { type Command, type Declared, examples, exitStatus, shownRun } from './command.js';
import { formatBytes, formatDuration, plural } from './format.js';
import { errorJson, toJson } from './json.js';
import { outputOptions } from './options.js';
import { namesOption, s3Options, s3Settings, targetOptions } from './repository-options.js';
import { defined, parsed } from './requests.js';
import { put, say, type Terminal } from './terminal.js';

const build = (yargs: Argv) =>
  yargs
    .positional('from', { type: 'string', demandOption: true, describe: 'Repository to read: a directory, or s3://bucket/prefix' })
    .positional('to', { type: 'string', demandOption: true, describe: 'Repository to write into' })
    .options({
      'dry-run': { type: 'boolean', describe: 'Say what would be copied, write nothing' },
      ...namesOption,
      ...targetOptions,
      ...s3Options,
      ...outputOptions,
    } as const)
    .epilogue(
      examples(
        ['what the bucket lacks', 'etcdferry copy /backups s3://bucket/etcd'],
        ['archives of one cluster, into a new directory', 'etcdferry copy /backups /mnt/usb/etcd --name prod --create'],
      ),
    )
    .epilogue(`Encrypted archives are copied as they are; no key is needed.\n\n${exitStatus(0, 1, 2, 10, 11, 12, 14, 130)}`);

type Arguments = Declared<typeof build>;

export const copyCommand: Command<Arguments> = {
  spec: 'copy <from> <to>',
  describe: 'Copy the archives that another repository lacks',
  build,
  run,
};

async function run(args: ArgumentsCamelCase<Arguments>, terminal: Terminal): Promise<number> {
  const { copyArchives, exitOfCopy } = await import('../jobs/copy.js');
  const { run: context, display } = shownRun(terminal, args);
  const s3 = defined('s3', s3Settings(args, terminal));
  const dryRun = args['dry-run'] === true;
  const started = performance.now();
  const report = await copyArchives(
    {
      from: { location: parseLocation(args.from), ...s3 },
      to: { location: parseLocation(args.to), create: args.create === true && !dryRun, ...s3 },
      names: args.name ?? [],
      dryRun,
      ...defined('wait', parsed(args, 'wait', parseDuration)),
    },
    context,
  ).finally(() => display.clear());
  const milliseconds = performance.now() - started;
  for (const { error } of report.archives) if (error !== undefined) say(terminal, `etcdferry: ${harmlessLine(error.message)}`);
  if (args.json === true) await put(terminal, `${toJson(reportJson(report, milliseconds, exitOfCopy(report)))}\n`);
  else if (args.quiet !== true) say(terminal, summary(report, milliseconds));
  return exitOfCopy(report);
}

function summary(report: CopyReport, milliseconds: number): string {
  const of = (outcome: CopiedArchive['outcome']): CopiedArchive[] => report.archives.filter((archive) => archive.outcome === outcome);
  const copied = of('copied');
  const bytes = copied.reduce((sum, { archive }) => sum + archive.size, 0);
  const damaged = of('damaged').length === 0 ? '' : `, ${of('damaged').length} damaged there`;
  const failed = of('failed').length === 0 ? '' : `, ${of('failed').length} failed`;
  const done = report.dryRun ? 'would copy' : 'copied';
  const what = `${plural(copied.length, 'archive')} (${formatBytes(bytes)})`;
  return `${done} ${what} from ${harmless(report.from)} to ${harmless(report.to)}, ${of('there').length} were there${damaged}${failed} (${formatDuration(milliseconds)})`;
}

/** The document that `copy --json` prints. */
function reportJson({ from, to, dryRun, archives }: CopyReport, milliseconds: number, exit: number): object {
  const damaged = archives.filter(({ outcome }) => outcome === 'damaged').length;
  return {
    schema: 'etcdferry.copy/v1',
    from,
    to,
    dryRun,
    archives: archives.map(({ archive, outcome, error }) => ({
      ...{ file: archive.file, name: archive.name, size: archive.size },
      // Readers know three outcomes; this kind of failure is told apart by its note.
      ...(outcome === 'damaged' ? { outcome: 'failed', note: 'archive-damaged' } : { outcome }),
      ...(error === undefined ? {} : { error: (errorJson(error) as { error: object }).error }),
    })),
    ...(damaged === 0 ? {} : { damaged }),
    seconds: Math.round(milliseconds) / 1000,
    exit,
  };
}
