import type { ArgumentsCamelCase, Argv } from 'yargs';
import { formatKey } from '../convert/key-text.js';
import { FerryError } from '../errors.js';
import type { RestoreOptions, RestoreReport } from '../jobs/restore.js';
import type { TargetInfo } from '../jobs/target-info.js';
import type { Encryption } from '../kubernetes/encryption/encryption.js';
import { type Location, parseLocation } from '../locations/parse.js';
import { parseRevision } from '../locations/quantity.js';
import { harmless } from '../model/shown-text.js';
import { type Command, type Declared, examples, exitStatus, shownRun } from './command.js';
import { formatBytes, formatDuration, plural } from './format.js';
import { bytesField, hexId, notesJson, snapshotJson } from './json.js';
import {
  connectionOptions,
  dataDirOptions,
  encryptionOption,
  fileOptions,
  historyOption,
  objectOptions,
  outputOptions,
  readOptions,
  runtimeOption,
  selectionOptions,
  spoolOptions,
} from './options.js';
import { tellReport } from './report.js';
import { connectionSettings, defined, parsed, sourceRequest } from './requests.js';
import { putText, type Terminal } from './terminal.js';
import { writeOptions, writerOptions } from './write-options.js';
import { writtenText } from './written.js';

const { endpoints: _, ...targetConnection } = connectionOptions;

const options = {
  from: { type: 'string', demandOption: true, describe: 'Archive (- for stdin), snapshot file or data dir' },
  to: { type: 'string', demandOption: true, describe: 'Live cluster (http(s)://host:port[,…]) or new snapshot file (.db)' },
  overwrite: { type: 'boolean', describe: 'Replace an existing snapshot file' },
  'bump-revision': { type: 'string', describe: 'Raise the revision by so much; with --mark-compacted (.db only)' },
  'mark-compacted': { type: 'boolean', describe: 'Mark all revisions up to the raised one as compacted (.db only)' },
  'dry-run': { type: 'boolean', describe: 'Say what would be written, write nothing' },
  ...historyOption,
  ...fileOptions,
  ...dataDirOptions,
  api: readOptions.api,
  revision: readOptions.revision,
  ...writeOptions,
  ...objectOptions,
  ...runtimeOption,
  ...encryptionOption,
  reencrypt: {
    type: 'boolean',
    group: 'Kubernetes:',
    describe: 'Seal encrypted values anew, with the first provider, for the keys they move to',
  },
  ...selectionOptions,
  ...targetConnection,
  ...spoolOptions,
  ...outputOptions,
} as const;

const build = (yargs: Argv) =>
  yargs
    .options(options)
    .epilogue(
      examples(
        ['see what would be written', 'etcdferry restore --from etcd.tar --to http://127.0.0.1:2379 --dry-run'],
        ['restore into an empty cluster', 'etcdferry restore --from etcd.tar --to http://127.0.0.1:2379'],
        ['a copy of one prefix', 'etcdferry restore --from etcd.tar --to http://127.0.0.1:2379 --prefix /app/ --map /app/=/copy/'],
        ['a file for etcdutl snapshot restore: revisions are kept', 'etcdferry restore --from etcd.tar --to new.db'],
      ),
    )
    .epilogue(exitStatus(0, 1, 2, 3, 10, 11, 12, 13, 130));

type Arguments = Declared<typeof build>;

export const restoreCommand: Command<Arguments> = {
  spec: 'restore',
  describe: 'Write an archive or a snapshot file into a live cluster, or into a new .db',
  build,
  run,
};

async function run(args: ArgumentsCamelCase<Arguments>, terminal: Terminal): Promise<number> {
  const { restore } = await import('../jobs/restore.js');
  const to = parseLocation(args.to);
  const { run: context, display } = shownRun(terminal, args);
  // The connection is the target's: what restore reads is a file.
  const from = sourceRequest(args, terminal, {});
  await using reencrypt = await reencryption(args);
  const started = performance.now();
  const extra: Buffer[] = [];
  const report = await restore(
    {
      from,
      to: await target(to, args, terminal),
      ...defined('bumpRevision', parsed(args, 'bump-revision', parseRevision)),
      ...defined('markCompacted', args['mark-compacted']),
      ...defined('reencrypt', reencrypt),
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
  if (report.dryRun && args.json !== true) for (const key of extra) await putText(terminal, `would delete ${formatKey(key)}\n`);
  const document = reportJson(report, milliseconds, extra);
  return tellReport({ summary: summary(report, milliseconds), document, notes: report.notes, stdoutTaken: false }, args, terminal);
}

async function reencryption(args: ArgumentsCamelCase<Arguments>): Promise<Encryption | undefined> {
  const config = args['encryption-config'];
  if ((config === undefined) !== (args.reencrypt !== true)) {
    throw new FerryError('usage', '--encryption-config and --reencrypt go together in restore', {
      hint: 'Without them, encrypted values are written as they are.',
    });
  }
  if (config === undefined) return undefined;
  const { openEncryption } = await import('../locations/encryption.js');
  return openEncryption(config);
}

async function target(to: Location, args: ArgumentsCamelCase<Arguments>, terminal: Terminal): Promise<RestoreOptions['to']> {
  if (to.kind === 'live' && args.overwrite === true) {
    throw new FerryError('usage', '--overwrite is for a snapshot file', {
      hint: 'For keys of a live cluster there is --on-conflict overwrite.',
    });
  }
  if (to.kind === 'live') return { live: { endpoints: to.endpoints, connection: connectionSettings(args, terminal) } };
  const { newFileKind } = await import('../locations/target.js');
  if (to.kind === 'stdio' || (await newFileKind(to)) !== 'snapshot-file') {
    throw new FerryError('usage', `${to.text}: restore writes into a live cluster or a snapshot file`, {
      hint: 'Name a cluster like http://127.0.0.1:2379, or a file that ends in .db.',
    });
  }
  return { snapshotFile: { location: to, overwrite: args.overwrite === true, dryRun: args['dry-run'] === true, stdout: terminal.stdout } };
}

function summary(report: RestoreReport, milliseconds: number): string {
  const { written, snapshot, source } = report;
  const took = `(${formatDuration(milliseconds)})`;
  if (written !== undefined) {
    const now = report.dryRun ? 'at' : 'now at';
    const revision = 'revision' in written ? `, ${now} revision ${written.revision}` : '';
    return `${writtenText(written, source.api === 'v2' ? 'node' : 'key')}; ${harmless(report.to)}${targetText(report)}${revision} ${took}`;
  }
  if (snapshot === undefined) return harmless(report.to);
  const what = `${plural(snapshot.records, 'record')}, ${formatBytes(snapshot.bytes)}`;
  return `${report.dryRun ? 'would write' : 'wrote'} ${harmless(report.to)}: ${what}, at revision ${snapshot.revision} ${took}`;
}

/** What the target was before, as far as it was told. */
function targetText({ target = {}, source }: RestoreReport): string {
  const { clusterId, version, keys } = target;
  const parts = [
    ...(clusterId === undefined ? [] : [`cluster ${hexId(clusterId)}`]),
    ...(version === undefined ? [] : [`etcd ${harmless(version)}`]),
    ...(keys === undefined ? [] : [`with ${plural(keys, source.api === 'v2' ? 'file' : 'key')} there before`]),
  ];
  return parts.length === 0 ? '' : ` (${parts.join(', ')})`;
}

function targetJson({ clusterId, version, keys }: TargetInfo): object {
  return {
    ...(clusterId === undefined ? {} : { clusterId: hexId(clusterId) }),
    ...(version === undefined ? {} : { version }),
    ...(keys === undefined ? {} : { keys }),
  };
}

/** The document that `restore --json` prints. */
function reportJson(report: RestoreReport, milliseconds: number, extra: readonly Buffer[]): object {
  const { source, written, snapshot } = report;
  const { notes: _, ...counts } = written ?? { notes: [] };
  return {
    schema: 'etcdferry.restore/v1',
    dryRun: report.dryRun,
    source: {
      kind: source.kind,
      location: source.location,
      api: source.api,
      [source.api === 'v2' ? 'index' : 'revision']: source.revision,
    },
    to: report.to,
    ...(report.target === undefined ? {} : { target: targetJson(report.target) }),
    ...counts,
    ...(snapshot === undefined ? {} : { snapshot: snapshotJson(snapshot, report.to) }),
    ...(report.dryRun && extra.length > 0 ? { wouldDelete: extra.map((key) => bytesField('key', key)) } : {}),
    seconds: Math.round(milliseconds) / 1000,
    notes: notesJson(report.notes),
  };
}
