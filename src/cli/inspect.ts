import type { ArgumentsCamelCase, Argv } from 'yargs';
import { formatKey } from '../convert/key-text.js';
import { FerryError } from '../errors.js';
import type { Inspection } from '../jobs/inspect.js';
import type { SourceInfo } from '../model/source.js';
import { type Command, type Declared, examples, exitStatus, shownRun } from './command.js';
import { formatBytes, formatCount, plural } from './format.js';
import { bytesField, hexId, notesJson, toJson } from './json.js';
import { exitOfNotes, sayNotes } from './notes.js';
import { connectionOptions, objectOptions, outputOptions, readOptions, selectionOptions, spoolOptions } from './options.js';
import { sourceRequest } from './requests.js';
import { put, putText, type Terminal } from './terminal.js';

const SHOWN_PREFIXES = 20;

const build = (yargs: Argv) =>
  yargs
    .positional('location', { type: 'string', describe: 'What to look into: an archive, a snapshot file, a data dir, a live cluster' })
    .options({
      depth: { type: 'number', default: 2, describe: 'How many parts of a key make a prefix; keys no deeper count in what they lie in' },
      ...readOptions,
      ...selectionOptions,
      ...objectOptions,
      ...connectionOptions,
      ...spoolOptions,
      ...outputOptions,
    } as const)
    .epilogue(
      examples(
        ['totals, prefixes, sizes, leases, users', 'etcdferry inspect etcd.tar'],
        ['part of a live cluster', 'etcdferry inspect http://127.0.0.1:2379 --prefix /registry/ --depth 3'],
      ),
    )
    .epilogue(exitStatus(0, 1, 2, 3, 10, 12, 13, 130));

type Arguments = Declared<typeof build>;

export const inspectCommand: Command<Arguments> = {
  spec: 'inspect [location]',
  describe: 'What is in there: totals, prefixes, sizes, revisions, leases, users',
  build,
  run,
};

async function run(args: ArgumentsCamelCase<Arguments>, terminal: Terminal): Promise<number> {
  const { inspect } = await import('../jobs/inspect.js');
  if (!(Number.isInteger(args.depth) && args.depth > 0))
    throw new FerryError('usage', `--depth: ${args.depth} is not a whole number above 0`);
  const { run: context, display } = shownRun(terminal, args);
  const found = await inspect(sourceRequest({ ...args, from: args.location }, terminal), args.depth, context).finally(() =>
    display.clear(),
  );
  if (args.json === true) await put(terminal, `${toJson(inspectionJson(found))}\n`);
  else {
    await putText(terminal, await describe(found));
    sayNotes(terminal, found.notes);
  }
  return exitOfNotes(found.notes);
}

async function describe(found: Inspection): Promise<string> {
  const { table } = await import('./table.js');
  const { source, totals } = found;
  const v2 = source.api === 'v2';
  const facts: [string, string][] = [
    ['source', `${source.location} (${source.kind}, ${source.api})`],
    ...(source.serverVersion === undefined ? [] : [['server', `etcd ${source.serverVersion}`] as [string, string]]),
    ...(source.clusterId === undefined ? [] : [['cluster', hexId(source.clusterId)] as [string, string]]),
    [v2 ? 'index' : 'revision', String(source.revision)],
    [v2 ? 'nodes' : 'keys', `${formatCount(totals.records)}${v2 ? ` (${plural(totals.directories, 'directory', 'directories')})` : ''}`],
    ['key bytes', formatBytes(totals.keyBytes)],
    ['value bytes', formatBytes(totals.valueBytes)],
    ['empty values', formatCount(totals.emptyValues)],
    ...(totals.largest === undefined
      ? []
      : [['largest value', `${formatBytes(totals.largest.valueBytes)} in ${formatKey(totals.largest.key)}`] as [string, string]]),
    v2 ? ['with a TTL', formatCount(totals.withExpiration)] : ['with a lease', formatCount(totals.withLease)],
    ['leases', leaseText(found)],
    ...((source.alarms ?? []).length === 0 ? [] : [['alarms', alarmText(source)] as [string, string]]),
    [
      'users and roles',
      found.auth === undefined ? 'not known' : `${plural(found.auth.users.length, 'user')}, ${plural(found.auth.roles.length, 'role')}`,
    ],
  ];
  const shown = found.prefixes.slice(0, SHOWN_PREFIXES);
  const rows = shown.map((row) => [formatKey(row.prefix) || '(other)', formatCount(row.records), formatBytes(row.bytes)]);
  const hidden = found.prefixes.length - shown.length;
  const more = hidden === 0 ? '' : `… and ${plural(hidden, 'more prefix', 'more prefixes')} (--json has them all)\n`;
  const objects = await objectTable(found);
  return `${table([], facts)}\n${objects}${table(['PREFIX', v2 ? 'NODES' : 'KEYS', 'BYTES'], rows, ['left', 'right', 'right'])}${more}`;
}

async function objectTable({ objects }: Inspection): Promise<string> {
  if (objects.length === 0) return '';
  const { table } = await import('./table.js');
  const rows = objects
    .slice(0, SHOWN_PREFIXES)
    .map((row) => [row.kind || `(${row.resource})`, row.namespace ?? '', formatCount(row.objects), formatBytes(row.bytes)]);
  const hidden = objects.length - rows.length;
  const more = hidden === 0 ? '' : `… and ${plural(hidden, 'more row', 'more rows')} (--json has them all)\n`;
  return `${table(['KIND', 'NAMESPACE', 'OBJECTS', 'BYTES'], rows, ['left', 'left', 'right', 'right'])}${more}\n`;
}

function leaseText({ leases }: Inspection): string {
  if (leases.leases === 0) return '0';
  const ttl = leases.shortestTtl === undefined ? '' : `, TTL ${leases.shortestTtl} to ${leases.longestTtl} s`;
  return `${formatCount(leases.leases)}${ttl}${leases.vanished === 0 ? '' : `, ${leases.vanished} vanished`}`;
}

function alarmText({ alarms = [] }: SourceInfo): string {
  return alarms.map(({ alarm, memberId }) => `${alarm} (member ${hexId(memberId)})`).join(', ');
}

/** The document that `inspect --json` prints. */
function inspectionJson(found: Inspection): object {
  const { source, totals, leases, auth } = found;
  const v2 = source.api === 'v2';
  return {
    schema: 'etcdferry.inspect/v1',
    location: source.location,
    kind: source.kind,
    api: source.api,
    order: source.order,
    [v2 ? 'index' : 'revision']: source.revision,
    ...(source.clusterId === undefined ? {} : { clusterId: hexId(source.clusterId) }),
    ...(source.serverVersion === undefined ? {} : { serverVersion: source.serverVersion }),
    records: totals.records,
    ...(v2 ? { directories: totals.directories } : {}),
    keyBytes: totals.keyBytes,
    valueBytes: totals.valueBytes,
    emptyValues: totals.emptyValues,
    ...(totals.largest === undefined
      ? {}
      : { largest: { ...bytesField('key', totals.largest.key), valueBytes: totals.largest.valueBytes } }),
    lowestModified: totals.lowestModified,
    highestModified: totals.highestModified,
    ...(v2 ? { withExpiration: totals.withExpiration } : { withLease: totals.withLease }),
    leases: {
      count: leases.leases,
      vanished: leases.vanished,
      shortestTtl: leases.shortestTtl ?? null,
      longestTtl: leases.longestTtl ?? null,
    },
    ...(source.alarms === undefined ? {} : { alarms: source.alarms.map(({ alarm, memberId }) => ({ alarm, memberId: hexId(memberId) })) }),
    users: auth?.users.map(({ name, roles }) => ({ name, roles })) ?? null,
    roles: auth?.roles.map(({ name }) => name) ?? null,
    prefixes: found.prefixes.map((row) => ({ ...bytesField('prefix', row.prefix), records: row.records, bytes: row.bytes })),
    objects: found.objects.map(({ namespace, ...row }) => ({ ...row, ...(namespace === undefined ? {} : { namespace }) })),
    notes: notesJson(found.notes),
  };
}
