import type { ArgumentsCamelCase, Argv } from 'yargs';
import { FerryError } from '../errors.js';
import type { BackupReport } from '../jobs/backup.js';
import { parseLocation } from '../locations/parse.js';
import { readingSide, sealOptions, sealWith } from './age-options.js';
import { type Command, type Declared, examples, exitStatus, shownRun } from './command.js';
import { formatBytes, formatDuration, plural } from './format.js';
import { archiveJson, hexId, notesJson } from './json.js';
import {
  compressOption,
  connectionOptions,
  historyOption,
  objectOptions,
  outputOptions,
  readOptions,
  selectionOptions,
  spoolOptions,
} from './options.js';
import { tellReport } from './report.js';
import { defined, sourceRequest } from './requests.js';
import type { Terminal } from './terminal.js';
import { toolVersion } from './version.js';

const options = {
  from: { type: 'string', describe: 'Source: a live cluster (http(s)://host:port[,…]), a snapshot file, a data dir, an archive' },
  to: { type: 'string', demandOption: true, describe: 'Archive to write: a file ending in .tar (encrypted: .tar.age), or - for stdout' },
  overwrite: { type: 'boolean', describe: 'Replace an existing file' },
  'dry-run': { type: 'boolean', describe: 'Read everything, write nothing' },
  ...compressOption,
  ...historyOption,
  ...readOptions,
  ...selectionOptions,
  ...objectOptions,
  ...connectionOptions,
  ...spoolOptions,
  ...sealOptions,
  ...outputOptions,
} as const;

const build = (yargs: Argv) =>
  yargs
    .options(options)
    .epilogue(
      examples(
        ['back up a local cluster', 'etcdferry backup --from http://127.0.0.1:2379 --to etcd.tar'],
        ['with mTLS', 'etcdferry backup --from https://etcd-1:2379 --cacert ca.pem --cert c.pem --key k.pem --to etcd.tar'],
        [
          'encrypted for whoever holds the key',
          'etcdferry backup --from http://127.0.0.1:2379 --to etcd.tar.age --recipients-file ops.txt',
        ],
        ['from the files of a stopped member', 'etcdferry backup --from /var/lib/etcd --api v3 --to etcd.tar'],
      ),
    )
    .epilogue(exitStatus(0, 1, 2, 3, 10, 11, 12, 130));

type Arguments = Declared<typeof build>;

export const backupCommand: Command<Arguments> = {
  spec: 'backup',
  describe: 'Read a source, write an archive',
  build,
  run,
};

async function run(args: ArgumentsCamelCase<Arguments>, terminal: Terminal): Promise<number> {
  const { backup } = await import('../jobs/backup.js');
  const to = parseLocation(args.to);
  const from = sourceRequest(readingSide(args), terminal);
  if (from.via !== undefined && from.location.kind !== 'live') throw new FerryError('usage', '--via is for live clusters');
  const { run: context, display } = shownRun(terminal, args);
  const started = performance.now();
  const report = await backup(
    {
      from,
      to: {
        location: to,
        overwrite: args.overwrite === true,
        ...defined('seal', sealWith(args)),
        dryRun: args['dry-run'] === true,
        stdout: terminal.stdout,
      },
      compress: args.compress,
      toolVersion: toolVersion(),
    },
    context,
  ).finally(() => display.clear());
  const milliseconds = performance.now() - started;
  const stdoutTaken = to.kind === 'stdio';
  return tellReport(
    { summary: summary(report, milliseconds), document: reportJson(report, milliseconds), notes: report.notes, stdoutTaken },
    args,
    terminal,
  );
}

function summary(report: BackupReport, milliseconds: number): string {
  const { archive, source } = report;
  const what = `${plural(archive.records, source.api === 'v2' ? 'node' : 'key')} (${formatBytes(archive.rawBytes)})`;
  const at = `${source.api === 'v2' ? 'index' : 'revision'} ${source.revision}`;
  const done = report.dryRun ? 'would back up' : 'backed up';
  return `${done} ${what} at ${at} to ${report.to} (${formatBytes(archive.size)}) in ${formatDuration(milliseconds)}`;
}

/** The document that `backup --json` prints. */
function reportJson(report: BackupReport, milliseconds: number): object {
  const { archive, source } = report;
  return {
    schema: 'etcdferry.backup/v1',
    dryRun: report.dryRun,
    source: {
      kind: source.kind,
      location: source.location,
      api: source.api,
      ...(source.clusterId === undefined ? {} : { clusterId: hexId(source.clusterId) }),
      ...(source.memberId === undefined ? {} : { memberId: hexId(source.memberId) }),
      ...(source.serverVersion === undefined ? {} : { serverVersion: source.serverVersion }),
    },
    [source.api === 'v2' ? 'index' : 'revision']: source.revision,
    archive: archiveJson(archive, report.to),
    restarts: report.restarts,
    seconds: Math.round(milliseconds) / 1000,
    notes: notesJson(report.notes),
  };
}
