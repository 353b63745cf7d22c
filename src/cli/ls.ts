import type { ArgumentsCamelCase, Argv } from 'yargs';
import { formatKey } from '../convert/key-text.js';
import type { Entry } from '../jobs/entries.js';
import type { ObjectIdentity } from '../kubernetes/select.js';
import { harmless } from '../model/shown-text.js';
import type { SourceInfo } from '../model/source.js';
import { type Command, type Declared, examples, exitStatus, shownRun } from './command.js';
import { entryJson } from './entry-json.js';
import { formatBytes } from './format.js';
import { notesJson, toJson } from './json.js';
import { exitOfNotes, sayNotes } from './notes.js';
import { connectionOptions, objectOptions, outputOptions, readOptions, selectionOptions, spoolOptions } from './options.js';
import { sourceRequest } from './requests.js';
import { put, putText, type Terminal } from './terminal.js';

const WIDE_HEAD = `${'KIND'.padEnd(24)} ${'NAMESPACE'.padEnd(18)} ${'NAME'.padEnd(44)} ${'SIZE'.padStart(10)} ${'REVISION'.padStart(10)}  KEY\n`;
/** Lines gathered before they are written. */
const CHUNK = 32 * 1024;

const { prefix: _, ...exclusions } = selectionOptions;

const build = (yargs: Argv) =>
  yargs
    .positional('location', {
      type: 'string',
      demandOption: true,
      describe: 'What to list: an archive, a snapshot file, a live cluster, …',
    })
    .positional('prefix', { type: 'string', describe: 'Only keys that begin so' })
    .options({
      output: { alias: 'o', choices: ['wide'], describe: "With Kubernetes' kind, namespace and name, size and revision" },
      ...readOptions,
      ...exclusions,
      ...objectOptions,
      ...connectionOptions,
      ...spoolOptions,
      ...outputOptions,
    } as const)
    .epilogue(
      examples(
        ['keys below a prefix', 'etcdferry ls etcd.tar /registry/pods/'],
        ['Kubernetes objects of a kind', 'etcdferry ls etcd.tar -o wide --kind Secret'],
        ['one object a line, a summary last', 'etcdferry ls http://127.0.0.1:2379 --json'],
      ),
    )
    .epilogue(
      `Bytes of a key that are not printable are written as \\xNN, a backslash as \\\\.\n\n${exitStatus(0, 1, 2, 3, 10, 12, 13, 130)}`,
    );

type Arguments = Declared<typeof build>;

export const lsCommand: Command<Arguments> = {
  spec: 'ls <location> [prefix]',
  describe: 'List keys',
  build,
  run,
};

async function run(args: ArgumentsCamelCase<Arguments>, terminal: Terminal): Promise<number> {
  const { listKeys } = await import('../jobs/list-keys.js');
  const { run: context } = shownRun(terminal, { quiet: true });
  const line = await lineFor(args);
  const print = args.json === true ? put : putText;
  let pending = args.output === 'wide' && args.json !== true ? WIDE_HEAD : '';
  const request = sourceRequest({ ...args, from: args.location, prefix: args.prefix === undefined ? undefined : [args.prefix] }, terminal);
  const each = (entry: Entry, source: SourceInfo): void | Promise<void> => {
    pending += line(entry, source);
    if (pending.length < CHUNK) return;
    const full = pending;
    pending = '';
    return print(terminal, full);
  };
  const end = await listKeys(request, each, context);
  if (args.json === true) {
    const { source, records, bytes, notes } = end;
    const at = { [source.api === 'v2' ? 'index' : 'revision']: source.revision };
    pending += `${toJson({ schema: 'etcdferry.ls-summary/v1', location: source.location, ...at, records, valueBytes: bytes, notes: notesJson(notes) })}\n`;
  }
  await print(terminal, pending);
  if (args.json !== true) sayNotes(terminal, end.notes);
  return exitOfNotes(end.notes);
}

type Line = (entry: Entry, source: SourceInfo) => string;

async function lineFor(args: ArgumentsCamelCase<Arguments>): Promise<Line> {
  if (args.output !== 'wide') return args.json === true ? jsonLine : keyLine;
  const { identify } = await import('../kubernetes/select.js');
  const wide: Line = (entry, source) => {
    const object = identify(entry.key, entry.value, args['etcd-prefix']);
    return args.json === true ? jsonLine(entry, source, objectJson(object)) : wideLine(entry, object);
  };
  return wide;
}

/** Columns wide enough for nearly all; a stream of keys is not held back to measure it. */
function wideLine(entry: Entry, { kind, namespace, name }: ObjectIdentity): string {
  const names = [harmless(kind).padEnd(24), harmless(namespace ?? '').padEnd(18), harmless(name ?? '').padEnd(44)];
  const columns = [...names, formatBytes(entry.value.length).padStart(10)];
  return `${columns.join(' ')} ${String(entry.modified).padStart(10)}  ${keyLine(entry)}`;
}

function objectJson({ kind, apiVersion, namespace, name }: ObjectIdentity): object {
  if (kind === '' && name === undefined) return {};
  return { kind, apiVersion, ...(namespace === undefined ? {} : { namespace }), ...(name === undefined ? {} : { name }) };
}

function keyLine(entry: Entry): string {
  return `${formatKey(entry.key)}${entry.dir ? '/' : ''}\n`;
}

function jsonLine(entry: Entry, source: SourceInfo, more: object = {}): string {
  return `${toJson({ schema: 'etcdferry.ls/v1', ...entryJson(entry, source), ...more, valueBytes: entry.value.length })}\n`;
}
