import type { ArgumentsCamelCase, Argv } from 'yargs';
import { FerryError } from '../errors.js';
import type { RestoreReport } from '../jobs/restore.js';
import { parseLocation } from '../locations/parse.js';
import { type Command, type Declared, exitStatus, shownRun } from './command.js';
import { formatDuration, formatKey } from './format.js';
import { bytesField, notesJson, toJson } from './json.js';
import { exitOfNotes, sayNotes } from './notes.js';
import { connectionOptions, outputOptions, selectionOptions, spoolOptions } from './options.js';
import { connectionSettings, sourceRequest } from './requests.js';
import { put, say, type Terminal } from './terminal.js';
import { writeOptions, writerOptions } from './write-options.js';
import { writtenText } from './written.js';

const { endpoints: _, ...targetConnection } = connectionOptions;

const options = {
  from: { type: 'string', demandOption: true, describe: 'Archive to restore: a file, or - for stdin' },
  to: { type: 'string', demandOption: true, describe: 'Live cluster to write into: http(s)://host:port[,…]' },
  'dry-run': { type: 'boolean', describe: 'Say what would be written, write nothing' },
  ...writeOptions,
  ...selectionOptions,
  ...targetConnection,
  ...spoolOptions,
  ...outputOptions,
} as const;

const build = (yargs: Argv) =>
  yargs
    .options(options)
    .example('$0 restore --from etcd.tar --to http://127.0.0.1:2379 --dry-run', 'see what would be written')
    .example('$0 restore --from etcd.tar --to http://127.0.0.1:2379', 'restore into an empty cluster')
    .example('$0 restore --from etcd.tar --to http://127.0.0.1:2379 --prefix /app/ --map /app/=/copy/', 'a copy of one prefix')
    .epilogue(exitStatus(0, 1, 2, 3, 10, 11, 12, 13, 130));

type Arguments = Declared<typeof build>;

export const restoreCommand: Command<Arguments> = {
  spec: 'restore',
  describe: 'Write an archive into a live cluster',
  build,
  run,
};

async function run(args: ArgumentsCamelCase<Arguments>, terminal: Terminal): Promise<number> {
  const { restore } = await import('../jobs/restore.js');
  const to = parseLocation(args.to);
  if (to.kind !== 'live') {
    throw new FerryError('usage', `${to.text}: restore writes into a live cluster`, { hint: 'Name it like http://127.0.0.1:2379' });
  }
  const { run: context, display } = shownRun(terminal, args);
  const from = sourceRequest(args, terminal);
  const started = performance.now();
  const extra: Buffer[] = [];
  const report = await restore(
    {
      from,
      to: { endpoints: to.endpoints, connection: connectionSettings(args, terminal) },
      write: {
        ...writerOptions(args),
        tmpDir: from.tmpDir,
        onExtra: (key) => {
          if (args['dry-run'] === true) extra.push(Buffer.from(key));
        },
      },
    },
    context,
  ).finally(() => display.clear());
  const milliseconds = performance.now() - started;
  if (args.json === true) await put(terminal, `${toJson(reportJson(report, milliseconds, extra))}\n`);
  else {
    if (report.written.dryRun) for (const key of extra) await put(terminal, `would delete ${formatKey(key)}\n`);
    if (args.quiet !== true) say(terminal, summary(report, milliseconds));
    sayNotes(terminal, report.written.notes);
  }
  return exitOfNotes(report.written.notes);
}

function summary(report: RestoreReport, milliseconds: number): string {
  const { written, archive } = report;
  const revision = 'revision' in written ? `, now at revision ${written.revision}` : '';
  return `${writtenText(written, archive.header.api === 'v2' ? 'node' : 'key')}; ${report.to}${revision} (${formatDuration(milliseconds)})`;
}

/** The document that `restore --json` prints. */
function reportJson(report: RestoreReport, milliseconds: number, extra: readonly Buffer[]): object {
  const { written, archive } = report;
  const { notes, ...counts } = written;
  return {
    schema: 'etcdferry.restore/v1',
    to: report.to,
    archive: {
      api: archive.header.api,
      [archive.header.api === 'v2' ? 'index' : 'revision']: archive.header.revision,
      records: archive.records,
      digests: archive.digests,
    },
    ...counts,
    ...(written.dryRun && extra.length > 0 ? { wouldDelete: extra.map((key) => bytesField('key', key)) } : {}),
    seconds: Math.round(milliseconds) / 1000,
    notes: notesJson(notes),
  };
}
