import type { ArgumentsCamelCase, Argv } from 'yargs';
import { FerryError } from '../errors.js';
import type { BackupReport } from '../jobs/backup.js';
import type { RepositoryBackupOptions } from '../jobs/backup-to-repository.js';
import { parseLocation } from '../locations/parse.js';
import type { RunContext } from '../model/run.js';
import { readingSide, sealOptions, sealWith } from './age-options.js';
import { repositoryTarget, sourceBesideRepository, storedJson } from './backup-target.js';
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
import { backupTargetOptions, s3Settings } from './repository-options.js';
import { defined, sourceRequest } from './requests.js';
import type { Terminal } from './terminal.js';
import { toolVersion } from './version.js';

const options = {
  from: { type: 'string', describe: 'Source: a live cluster (http(s)://host:port[,…]), a snapshot file, a data dir, an archive' },
  to: {
    type: 'string',
    demandOption: true,
    describe: 'A repository (directory, s3://bucket/prefix), or an archive: a file ending in .tar (encrypted: .tar.age), - for stdout',
  },
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
  ...backupTargetOptions,
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
        ['every night, into a repository', 'etcdferry backup --from http://127.0.0.1:2379 --to /backups --name prod --skip-unchanged'],
        ['from the files of a stopped member', 'etcdferry backup --from /var/lib/etcd --api v3 --to etcd.tar'],
      ),
    )
    .epilogue(exitStatus(0, 1, 2, 3, 10, 11, 12, 14, 130));

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
  const seal = sealWith(args);
  const repository = await repositoryTarget(to, args, seal, terminal);
  const asked = sourceRequest(readingSide(args), terminal);
  const from = repository === undefined ? asked : await sourceBesideRepository(asked);
  if (from.via !== undefined && from.location.kind !== 'live') throw new FerryError('usage', '--via is for live clusters');
  const { run: context, display } = shownRun(terminal, args);
  const started = performance.now();
  const how = { compress: args.compress, toolVersion: toolVersion() };
  const file = {
    ...{ location: to, overwrite: args.overwrite === true, dryRun: args['dry-run'] === true, stdout: terminal.stdout },
    ...defined('seal', seal),
    ...defined('s3', s3Settings(args, terminal)),
  };
  const made =
    repository === undefined ? backup({ from, to: file, ...how }, context) : intoRepository({ from, to: repository, ...how }, context);
  const report = await made.finally(() => display.clear());
  const milliseconds = performance.now() - started;
  const stdoutTaken = to.kind === 'stdio';
  return tellReport(
    { summary: summary(report, milliseconds), document: reportJson(report, milliseconds), notes: report.notes, stdoutTaken },
    args,
    terminal,
  );
}

async function intoRepository(options: RepositoryBackupOptions, context: RunContext): Promise<BackupReport> {
  return (await import('../jobs/backup-to-repository.js')).backupToRepository(options, context);
}

function summary(report: BackupReport, milliseconds: number): string {
  const { archive, source } = report;
  const what = `${plural(archive.records, source.api === 'v2' ? 'node' : 'key')} (${formatBytes(archive.rawBytes)})`;
  const at = `${source.api === 'v2' ? 'index' : 'revision'} ${source.revision}`;
  const done = report.dryRun ? 'would back up' : 'backed up';
  if (report.stored?.unchanged === true) {
    return `nothing was written: ${what} at ${at} are unchanged since ${report.to} (${formatDuration(milliseconds)})`;
  }
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
    ...storedJson(report),
    restarts: report.restarts,
    seconds: Math.round(milliseconds) / 1000,
    notes: notesJson(report.notes),
  };
}
