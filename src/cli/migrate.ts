import type { ArgumentsCamelCase, Argv } from 'yargs';
import { FerryError } from '../errors.js';
import type { MigrateReport } from '../jobs/migrate.js';
import { parseLocation } from '../locations/parse.js';
import { readingSide, sealOptions, sealWith } from './age-options.js';
import { type Command, type Declared, examples, exitStatus, shownRun } from './command.js';
import { formatBytes, formatDuration, plural } from './format.js';
import { archiveJson, notesJson, snapshotJson } from './json.js';
import { backFlags, backOptions } from './migrate-back.js';
import {
  compressOption,
  connectionOptions,
  dataDirOptions,
  fileOptions,
  hiddenOption,
  objectOptions,
  outputOptions,
  runtimeOption,
  selectionOptions,
  spoolOptions,
} from './options.js';
import { tellReport } from './report.js';
import { defined, sourceLocation, sourceRequest } from './requests.js';
import { SIDES_HELP, settingsOfSides, twoSidedOptions } from './sides.js';
import { stateOption, statePlace } from './state.js';
import type { Terminal } from './terminal.js';
import { treeOptions, treeRules } from './tree-options.js';
import { toolVersion } from './version.js';
import { writeOptions, writerOptions } from './write-options.js';
import { writtenText } from './written.js';

const { 'with-auth': _auth, 'delete-extra': _extra, 'lease-ttl': _ttl, ...treeWriteOptions } = writeOptions;

const build = (yargs: Argv) =>
  yargs
    .options({
      from: { type: 'string', describe: 'v2 tree (v3 keys, with --to-api v2): a live cluster, a data dir, an archive' },
      to: { type: 'string', demandOption: true, describe: 'Live cluster, snapshot file (.db), or archive (.tar, or - for stdout)' },
      'dry-run': { type: 'boolean', describe: 'Say what would be written, write nothing' },
      overwrite: { type: 'boolean', describe: 'Replace an existing file' },
      ...treeOptions,
      ...compressOption,
      ...hiddenOption,
      ...dataDirOptions,
      ...fileOptions,
      ...treeWriteOptions,
      ...backOptions,
      ...stateOption,
      ...objectOptions,
      ...runtimeOption,
      'kubernetes-protobuf': { type: 'boolean', group: 'Kubernetes:', describe: 'Turn the JSON of Kubernetes 1.5 and older into protobuf' },
      ...selectionOptions,
      endpoints: connectionOptions.endpoints,
      ...twoSidedOptions,
      ...spoolOptions,
      ...sealOptions,
      ...outputOptions,
    } as const)
    .epilogue(
      examples(
        ['see what would become of a live v2 tree', 'etcdferry migrate --from http://127.0.0.1:2379 --to http://127.0.0.1:12379 --dry-run'],
        ['from an archive made with backup --api v2', 'etcdferry migrate --from tree.tar --to http://127.0.0.1:12379'],
        ['from the files of a stopped member', 'etcdferry migrate --from /var/lib/etcd --to etcd.tar'],
        ['into a file for etcdutl snapshot restore', 'etcdferry migrate --from /var/lib/etcd --to new.db'],
        ['back from v3 to v2', 'etcdferry migrate --to-api v2 --from http://127.0.0.1:12379 --to http://127.0.0.1:2379'],
      ),
    )
    .epilogue(`${SIDES_HELP}\n\n${exitStatus(0, 1, 2, 3, 10, 11, 12, 13, 130)}`);

type Arguments = Declared<typeof build>;

export const migrateCommand: Command<Arguments> = {
  spec: 'migrate',
  describe: 'Carry a v2 tree over to v3, or v3 keys back to v2',
  build,
  run,
};

async function run(args: ArgumentsCamelCase<Arguments>, terminal: Terminal): Promise<number> {
  const { migrate } = await import('../jobs/migrate.js');
  const to = parseLocation(args.to);
  const live = { from: sourceLocation(args, terminal).kind === 'live', to: to.kind === 'live' };
  const connections = settingsOfSides(args, terminal, live);
  const from = sourceRequest(readingSide(args), terminal, connections.from);
  const seal = sealWith(args);
  if (live.to && seal !== undefined) throw new FerryError('usage', `${to.text} is a live cluster; only an archive can be encrypted`);
  const { run: context, display } = shownRun(terminal, args);
  const started = performance.now();
  const report = await migrate(
    {
      from,
      to:
        to.kind === 'live'
          ? { live: { endpoints: to.endpoints, connection: connections.to } }
          : {
              file: {
                location: to,
                overwrite: args.overwrite === true,
                ...defined('seal', seal),
                dryRun: args['dry-run'] === true,
                stdout: terminal.stdout,
              },
            },
      write: { ...writerOptions(args), tmpDir: from.tmpDir },
      ...backFlags(args),
      rules: treeRules(args, args['to-api'] === 'v2'),
      state: statePlace(args, terminal),
      ...defined('kubernetesProtobuf', args['kubernetes-protobuf']),
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

function summary(report: MigrateReport, milliseconds: number): string {
  const { source, archive, written, snapshot, keys } = report;
  const back = source.api === 'v3';
  const what = back ? 'node' : 'key';
  const from = `${source.location} at ${back ? 'revision' : 'index'} ${source.revision}`;
  const took = `(${formatDuration(milliseconds)})`;
  if (written !== undefined) return `${from} to ${report.to}: ${writtenText(written, what)} ${took}`;
  const bytes = archive?.size ?? snapshot?.bytes;
  const size = bytes === undefined ? '' : `, ${formatBytes(bytes)}`;
  return `${from} to ${report.to}: ${report.dryRun ? 'would write' : 'wrote'} ${plural(keys, what)}${size} ${took}`;
}

/** The document that `migrate --json` prints. */
function reportJson(report: MigrateReport, milliseconds: number): object {
  const { source, written, archive, snapshot } = report;
  const { notes: _, ...counts } = written ?? { notes: [] };
  return {
    schema: 'etcdferry.migrate/v1',
    dryRun: report.dryRun,
    source: { kind: source.kind, location: source.location, [source.api === 'v2' ? 'index' : 'revision']: source.revision },
    to: report.to,
    [source.api === 'v2' ? 'keys' : 'nodes']: report.keys,
    ...(written === undefined ? {} : { written: counts }),
    ...(archive === undefined ? {} : { archive: archiveJson(archive, report.to) }),
    ...(snapshot === undefined ? {} : { snapshot: snapshotJson(snapshot, report.to) }),
    seconds: Math.round(milliseconds) / 1000,
    notes: notesJson(report.notes),
  };
}
