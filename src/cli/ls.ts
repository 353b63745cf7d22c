import type { ArgumentsCamelCase, Argv } from 'yargs';
import type { Entry } from '../jobs/entries.js';
import type { SourceInfo } from '../model/source.js';
import { type Command, type Declared, exitStatus, shownRun } from './command.js';
import { entryJson } from './entry-json.js';
import { formatKey } from './format.js';
import { notesJson, toJson } from './json.js';
import { exitOfNotes, sayNotes } from './notes.js';
import { connectionOptions, outputOptions, readOptions, selectionOptions, spoolOptions } from './options.js';
import { sourceRequest } from './requests.js';
import { put, type Terminal } from './terminal.js';

/** Lines gathered before they are written. */
const CHUNK = 32 * 1024;

const { prefix: _, ...exclusions } = selectionOptions;

const build = (yargs: Argv) =>
  yargs
    .positional('location', { type: 'string', demandOption: true, describe: 'What to list: an archive, - or a live cluster' })
    .positional('prefix', { type: 'string', describe: 'Only keys that begin so' })
    .options({ ...readOptions, ...exclusions, ...connectionOptions, ...spoolOptions, ...outputOptions } as const)
    .example('$0 ls etcd.tar /registry/pods/', 'keys below a prefix')
    .example('$0 ls http://127.0.0.1:2379 --json', 'one object a line, a summary last')
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
  const line = args.json === true ? jsonLine : keyLine;
  let pending = '';
  const request = sourceRequest({ ...args, from: args.location, prefix: args.prefix === undefined ? undefined : [args.prefix] }, terminal);
  const each = (entry: Entry, source: SourceInfo): void | Promise<void> => {
    pending += line(entry, source);
    if (pending.length < CHUNK) return;
    const full = pending;
    pending = '';
    return put(terminal, full);
  };
  const end = await listKeys(request, each, context);
  if (args.json === true) {
    const { source, records, bytes, notes } = end;
    const at = { [source.api === 'v2' ? 'index' : 'revision']: source.revision };
    pending += `${toJson({ schema: 'etcdferry.ls-summary/v1', location: source.location, ...at, records, valueBytes: bytes, notes: notesJson(notes) })}\n`;
  }
  await put(terminal, pending);
  if (args.json !== true) sayNotes(terminal, end.notes);
  return exitOfNotes(end.notes);
}

function keyLine(entry: Entry): string {
  return `${formatKey(entry.key)}${entry.dir ? '/' : ''}\n`;
}

function jsonLine(entry: Entry, source: SourceInfo): string {
  return `${toJson({ schema: 'etcdferry.ls/v1', ...entryJson(entry, source), valueBytes: entry.value.length })}\n`;
}
