import type { ArgumentsCamelCase, Argv } from 'yargs';
import { formatKey } from '../convert/key-text.js';
import type { DiffEnd, DiffEntry } from '../jobs/diff.js';
import type { DiffGroup } from '../jobs/diff-groups.js';
import type { ReadableValue, ReadOptions } from '../jobs/readable-value.js';
import type { Encryption } from '../kubernetes/encryption/encryption.js';
import { harmless } from '../model/shown-text.js';
import type { SourceInfo } from '../model/source.js';
import { type Command, type Declared, examples, exitStatus, shownRun } from './command.js';
import type { ShownDifference } from './diff-text.js';
import { formatCount, plural } from './format.js';
import { bytesField, notesJson, toJson } from './json.js';
import { exitOfNotes, sayNotes } from './notes.js';
import { encryptionOption, objectOptions, outputOptions, selectionOptions, spoolOptions } from './options.js';
import { painter } from './paint.js';
import { PAIR_HELP, pairOf, pairOptions } from './pair.js';
import { table } from './table.js';
import { put, putText, say, type Terminal } from './terminal.js';

const DIFFERENCE = 'What counts:';
/** What the counts of `--summary` take of a line, and what its names have at least. */
const COUNT_COLUMNS = 30;
const NARROWEST_NAME = 20;

const build = (yargs: Argv) =>
  yargs
    .positional('from', {
      type: 'string',
      demandOption: true,
      describe: 'What is compared: an archive, a snapshot file, a live cluster, …',
    })
    .positional('to', { type: 'string', demandOption: true, describe: 'What it is compared with: the same' })
    .options({
      revisions: { type: 'boolean', group: DIFFERENCE, describe: 'Create and mod revision and version too (v2: indices)' },
      leases: { type: 'boolean', group: DIFFERENCE, describe: 'The lease a key is attached to, too (v2: whether a node expires)' },
      'ignore-noise': {
        type: 'boolean',
        group: DIFFERENCE,
        describe: 'Not what Kubernetes writes by itself: managedFields, resourceVersion, status and the like',
      },
      summary: { type: 'boolean', describe: 'Print counts only' },
      ...selectionOptions,
      ...objectOptions,
      ...encryptionOption,
      ...pairOptions,
      ...spoolOptions,
      ...outputOptions,
    } as const)
    .epilogue(
      examples(
        ['what changed since last night', 'etcdferry diff last-night.tar http://127.0.0.1:2379'],
        ['two moments of one cluster', 'etcdferry diff http://127.0.0.1:2379 http://127.0.0.1:2379 --from-revision 100 --to-revision 200'],
        ['Kubernetes: what people changed', 'etcdferry diff monday.db tuesday.db --ignore-noise --exclude-kind Event'],
        ['how much differs, and where', 'etcdferry diff etcd.tar snapshot.db --summary'],
      ),
    )
    .epilogue(`${PAIR_HELP}\n\n${exitStatus(0, 1, 2, 3, 4, 10, 12, 13, 130)}`);

type Arguments = Declared<typeof build>;
type Parsed = ArgumentsCamelCase<Arguments>;

export const diffCommand: Command<Arguments> = {
  spec: 'diff <from> <to>',
  describe: 'Compare any two sources, key by key',
  build,
  run,
};

async function run(args: Parsed, terminal: Terminal): Promise<number> {
  const [{ diff }, { DiffGroups }] = await Promise.all([import('../jobs/diff.js'), import('../jobs/diff-groups.js')]);
  const requests = await pairOf(args.from, args.to, args, terminal);
  const { run: context, display } = shownRun(terminal, args);
  await using encryption = await encryptionOf(args['encryption-config']);
  const groups = new DiffGroups(args['etcd-prefix'] ?? []);
  const print = await printer(args, encryption, terminal);
  const end = await diff(
    requests,
    {
      revisions: args.revisions === true,
      leases: args.leases === true,
      ignoreNoise: args['ignore-noise'] === true,
      ...(encryption === undefined ? {} : { encryption }),
    },
    async (entry) => {
      groups.add(entry);
      display.clear();
      await print(entry);
    },
    context,
  ).finally(() => display.clear());
  if (args.json === true) await put(terminal, `${toJson(summaryJson(end, groups.list(), args))}\n`);
  else await tellEnd(end, groups.list(), args, terminal);
  return end.differ ? 4 : exitOfNotes(end.notes);
}

async function encryptionOf(path: string | undefined): Promise<Encryption | undefined> {
  if (path === undefined) return undefined;
  const { openEncryption } = await import('../locations/encryption.js');
  return openEncryption(path);
}

/** How one difference is printed. */
async function printer(args: Parsed, encryption: Encryption | undefined, terminal: Terminal): Promise<(entry: DiffEntry) => Promise<void>> {
  if (args.summary === true) return async () => {};
  const { readValue } = await import('../jobs/readable-value.js');
  const options = { ignoreNoise: args['ignore-noise'] === true, encryption };
  const readable = async (entry: DiffEntry): Promise<ShownDifference> => ({ ...entry, ...(await valuesOf(entry, options, readValue)) });
  if (args.json === true) {
    const { differenceJson } = await import('./diff-json.js');
    return async (entry) => put(terminal, `${toJson(differenceJson(await readable(entry)))}\n`);
  }
  const { differenceText } = await import('./diff-text.js');
  const paint = painter(terminal);
  return async (entry) => putText(terminal, differenceText(await readable(entry), paint));
}

type ReadValue = (key: Buffer, value: Buffer, options: ReadOptions) => Promise<ReadableValue>;

/** Values are read where they differ, or are there on one side only; directories have none. */
async function valuesOf({ key, left, right, kind, parts }: DiffEntry, options: ReadOptions, read: ReadValue) {
  const wanted = kind !== 'changed' || parts.includes('value');
  const readSide = async (entry: DiffEntry['left']): Promise<ReadableValue | undefined> =>
    entry === undefined || entry.dir || !wanted ? undefined : read(key, entry.value, options);
  return { leftValue: await readSide(left), rightValue: await readSide(right) };
}

async function tellEnd(end: DiffEnd, groups: readonly DiffGroup[], args: Parsed, terminal: Terminal): Promise<void> {
  if (args.summary === true) await putText(terminal, summaryText(end, groups, terminal));
  else if (args.quiet !== true) say(terminal, countsText(end));
  sayNotes(terminal, args.quiet === true ? end.notes.filter((note) => note.lossy) : end.notes);
}

function countsText({ counts, left }: DiffEnd): string {
  const { equal, added, removed, changed, alike } = counts;
  const what = left.api === 'v2' ? 'node' : 'key';
  const beside = alike === 0 ? '' : ` (${formatCount(alike)} but for noise or sealing)`;
  if (added + removed + changed === 0) return `no difference: ${plural(equal, what)} equal${beside}`;
  return `${plural(added + removed + changed, `${what} differs`, `${what}s differ`)}: ${formatCount(added)} added, ${formatCount(removed)} removed, ${formatCount(changed)} changed; ${formatCount(equal)} equal${beside}`;
}

function summaryText(end: DiffEnd, groups: readonly DiffGroup[], terminal: Terminal): string {
  const paint = painter(terminal);
  const sides = `from ${sideText(end.left)}\nto   ${sideText(end.right)}\n${paint(end.differ ? 'yellow' : 'green', countsText(end))}\n`;
  if (groups.length === 0) return sides;
  const room = (terminal.stdout.columns ?? Number.POSITIVE_INFINITY) - COUNT_COLUMNS;
  const rows = groups.map(({ group, added, removed, changed }) => [
    shortened(formatKey(group), Math.max(room, NARROWEST_NAME)),
    ...[added, removed, changed].map((count) => formatCount(count)),
  ]);
  return `${sides}\n${table(['WHERE', 'ADDED', 'REMOVED', 'CHANGED'], rows, ['left', 'right', 'right', 'right'])}`;
}

/** Cut in the middle: names that begin alike may still be told apart. */
function shortened(name: string, room: number): string {
  if (name.length <= room) return name;
  const end = Math.floor((room - 1) / 3);
  return `${name.slice(0, room - 1 - end)}…${name.slice(name.length - end)}`;
}

function sideText(info: SourceInfo): string {
  return `${harmless(info.location)} (${info.kind.replace('-', ' ')} at ${info.api === 'v2' ? 'index' : 'revision'} ${info.revision})`;
}

/** The last line of `diff --json`. */
function summaryJson(end: DiffEnd, groups: readonly DiffGroup[], args: Parsed): object {
  const side = ({ kind, location, api, revision }: SourceInfo): object => ({
    kind,
    location,
    api,
    [api === 'v2' ? 'index' : 'revision']: revision,
  });
  return {
    schema: 'etcdferry.diff-summary/v1',
    differ: end.differ,
    from: side(end.left),
    to: side(end.right),
    ...end.counts,
    ...(args.summary === true ? { groups: groups.map(({ group, ...counts }) => ({ ...bytesField('group', group), ...counts })) } : {}),
    exit: end.differ ? 4 : exitOfNotes(end.notes),
    notes: notesJson(end.notes),
  };
}
