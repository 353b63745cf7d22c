import type { ArgumentsCamelCase, Argv } from 'yargs';
import { FerryError } from '../errors.js';
import type { MigrateOptions } from '../jobs/migrate.js';
import type { ConnectionSettings } from '../locations/connection.js';
import { type Location, parseLocation } from '../locations/parse.js';
import type { NewFile } from '../locations/target.js';
import { readingSide, sealOptions, sealWith } from './age-options.js';
import { type Command, type Declared, examples, exitStatus, shownRun } from './command.js';
import { followedOf, followedText, followOptions, migrateOrFollow } from './follow.js';
import { backFlags, backOptions } from './migrate-back.js';
import type { MigrationPage } from './migrate-html.js';
import { readPlan, savePlan } from './migrate-plan-file.js';
import { exitOfMigration, KEY_WORDS, migrationJson, proofText, summaryOf, TREE_WORDS, verdictOf } from './migrate-report.js';
import { matchedRules } from './migrate-rules.js';
import { writeReports } from './migrate-write-report.js';
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
import { refuseUnwritable, reportFiles } from './report-file.js';
import { defined, sourceLocation, sourceRequest } from './requests.js';
import { SIDES_HELP, settingsOfSides, twoSidedOptions } from './sides.js';
import { stateOption, statePlace } from './state.js';
import { putText, say, type Terminal } from './terminal.js';
import { treeOptions, treeRules } from './tree-options.js';
import { toolVersion } from './version.js';
import { writeOptions, writerOptions } from './write-options.js';

const { 'with-auth': _auth, 'delete-extra': _extra, 'lease-ttl': _ttl, ...treeWriteOptions } = writeOptions;

const build = (yargs: Argv) =>
  yargs
    .options({
      from: { type: 'string', describe: 'v2 tree (v3 keys, with --to-api v2): a live cluster, a data dir, an archive' },
      to: { type: 'string', describe: 'Live cluster, snapshot file (.db), or archive (.tar, or - for stdout)' },
      'dry-run': { type: 'boolean', describe: 'Print a plan of what would be written, write nothing' },
      'save-plan': { type: 'string', requiresArg: true, describe: 'With --dry-run: keep the plan in this file' },
      plan: {
        type: 'string',
        requiresArg: true,
        describe: 'Carry out the plan in this file, unless the source has become something else since',
      },
      overwrite: { type: 'boolean', describe: 'Replace an existing file' },
      report: {
        type: 'string',
        array: true,
        requiresArg: true,
        describe:
          'Keep the report in this file, in place of an older one, as its ending says: .json, or .html, a page of its own (repeatable)',
      },
      proof: {
        type: 'boolean',
        defaultDescription: 'true',
        describe: 'Read the target back at the end and compare it (--no-proof: do not)',
      },
      ...treeOptions,
      ...compressOption,
      ...hiddenOption,
      ...dataDirOptions,
      ...fileOptions,
      ...treeWriteOptions,
      ...backOptions,
      ...stateOption,
      ...followOptions,
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
        [
          'keep the plan with --dry-run --save-plan plan.json, then carry it out',
          'etcdferry migrate --plan plan.json --report report.html',
        ],
        ['from an archive made with backup --api v2', 'etcdferry migrate --from tree.tar --to http://127.0.0.1:12379'],
        ['from the files of a stopped member', 'etcdferry migrate --from /var/lib/etcd --to etcd.tar'],
        ['into a file for etcdutl snapshot restore', 'etcdferry migrate --from /var/lib/etcd --to new.db'],
        ['back from v3 to v2', 'etcdferry migrate --to-api v2 --from http://127.0.0.1:12379 --to http://127.0.0.1:2379'],
      ),
    )
    .epilogue(`${SIDES_HELP}\n\n${exitStatus(0, 1, 2, 3, 4, 10, 11, 12, 13, 130)}`);

type Arguments = Declared<typeof build>;

export const migrateCommand: Command<Arguments> = {
  spec: 'migrate',
  describe: 'Carry a v2 tree over to v3, or v3 keys back to v2',
  build,
  run,
};

async function run(typed: ArgumentsCamelCase<Arguments>, terminal: Terminal): Promise<number> {
  const reports = reportFiles(typed.report);
  if (typed.plan !== undefined && typed.follow === true) {
    throw new FerryError('usage', '--plan is for a source that stands still, --follow for one that does not');
  }
  const kept = typed.plan === undefined ? undefined : await readPlan(typed.plan, typed);
  const args = { ...typed, ...kept?.flags };
  await refuseUnwritable(reports, [args.from, typed.plan]);
  if (args['save-plan'] !== undefined && args['dry-run'] !== true) throw new FerryError('usage', '--save-plan goes with --dry-run');
  if (args.to === undefined) throw new FerryError('usage', 'no target was given', { hint: 'Name it with --to.' });
  const to = parseLocation(args.to);
  const source = sourceLocation(args, terminal);
  const live = { from: source.kind === 'live', to: to.kind === 'live' };
  const connections = settingsOfSides(args, terminal, live);
  const from = sourceRequest(readingSide(args), terminal, connections.from);
  const seal = sealWith(args);
  if (live.to && seal !== undefined) throw new FerryError('usage', `${to.text} is a live cluster; only an archive can be encrypted`);
  if (args.proof === true && (to.kind === 'stdio' || seal !== undefined)) throw notProvable(to);
  const { run: context, display } = shownRun(terminal, args);
  const [started, startedAt] = [performance.now(), Date.now()];
  const report = await migrateOrFollow(
    {
      from,
      to: targetOf(to, { ...args, seal, connection: connections.to }, terminal),
      write: { ...writerOptions(args), tmpDir: from.tmpDir },
      ...backFlags(args),
      rules: treeRules(args, args['to-api'] === 'v2'),
      state: statePlace(args, terminal),
      ...defined('proof', args.proof),
      ...defined('expected', kept?.fingerprint),
      ...defined('kubernetesProtobuf', args['kubernetes-protobuf']),
      compress: args.compress ?? 'gzip',
      toolVersion: toolVersion(),
    },
    args,
    terminal,
    context,
  ).finally(() => display.clear());
  const facts = { milliseconds: performance.now() - started, startedAt, toolVersion: toolVersion() };
  const rules = report.counts === undefined ? [] : matchedRules(args, report.counts);
  await writeReports(reports, { report, facts, rules });
  if (args['save-plan'] !== undefined) await savePlan(args['save-plan'], report, facts, args, source.text);
  return tellMigration({ report, facts, rules }, args, terminal, to.kind === 'stdio');
}

function notProvable(to: Location): FerryError {
  const what = to.kind === 'stdio' ? 'stdout' : `${to.text}, encrypted for somebody else,`;
  return new FerryError('usage', `--proof: ${what} cannot be read back`, { hint: 'Leave --proof out, and verify the archive.' });
}

function targetOf(
  to: Location,
  args: {
    readonly overwrite?: boolean | undefined;
    readonly 'dry-run'?: boolean | undefined;
    readonly seal: NewFile['seal'] | undefined;
    readonly connection: ConnectionSettings;
  },
  terminal: Terminal,
): MigrateOptions['to'] {
  if (to.kind === 'live') return { live: { endpoints: to.endpoints, connection: args.connection } };
  const dryRun = args['dry-run'] === true;
  return { file: { location: to, overwrite: args.overwrite === true, ...defined('seal', args.seal), dryRun, stdout: terminal.stdout } };
}

async function tellMigration(
  { report, facts, rules }: MigrationPage,
  args: { readonly json?: boolean | undefined; readonly quiet?: boolean | undefined; readonly 'to-api'?: string | undefined },
  terminal: Terminal,
  stdoutTaken: boolean,
): Promise<number> {
  const { notes, proof, plan } = report;
  if (plan !== undefined && args.json !== true && args.quiet !== true) {
    await putText(terminal, (await import('./migrate-plan-text.js')).planText(report, plan, rules));
    say(terminal, summaryOf(report, facts));
    return exitOfMigration(report);
  }
  const followed = followedOf(report);
  if (followed !== undefined && args.json !== true && args.quiet !== true) say(terminal, followedText(followed));
  const document = { ...migrationJson(report, facts), ...defined('followed', followed) };
  await tellReport({ summary: summaryOf(report, facts), document, notes, stdoutTaken }, args, terminal);
  const differs = verdictOf(report) === 'differs';
  if (proof !== undefined && args.json !== true && (differs || args.quiet !== true))
    say(terminal, proofText(proof, args['to-api'] === 'v2' ? TREE_WORDS : KEY_WORDS));
  return exitOfMigration(report);
}
