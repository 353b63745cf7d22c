import type { ArgumentsCamelCase, Argv } from 'yargs';
import type { ArchiveList, ListedArchive } from '../jobs/list-archives.js';
import { parseLocation } from '../locations/parse.js';
import { isInFuture } from '../storage/clock.js';
import { type Command, type Declared, examples, exitStatus, shownRun } from './command.js';
import { formatBytes, formatCount } from './format.js';
import { toJson } from './json.js';
import { identityOptions, outputOptions } from './options.js';
import { namesOption, s3Options, s3Settings } from './repository-options.js';
import { defined, openWith } from './requests.js';
import { put, putText, type Terminal } from './terminal.js';

const build = (yargs: Argv) =>
  yargs
    .positional('repository', { type: 'string', demandOption: true, describe: 'A directory, or s3://bucket/prefix' })
    .options({ ...namesOption, ...s3Options, ...identityOptions, ...outputOptions } as const)
    .epilogue(
      examples(
        ['all archives, the oldest of each NAME first', 'etcdferry list /backups'],
        ['for scripts', 'etcdferry list s3://bucket/etcd --name prod --json'],
      ),
    )
    .epilogue(exitStatus(0, 1, 2, 10, 130));

type Arguments = Declared<typeof build>;

export const listCommand: Command<Arguments> = {
  spec: 'list <repository>',
  describe: 'List the archives in a repository',
  build,
  run,
};

async function run(args: ArgumentsCamelCase<Arguments>, terminal: Terminal): Promise<number> {
  const { listArchives } = await import('../jobs/list-archives.js');
  const { run: context, display } = shownRun(terminal, args);
  const repository = { location: parseLocation(args.repository), ...defined('s3', s3Settings(args, terminal)) };
  const options = { repository, names: args.name ?? [], ...defined('open', openWith(args)) };
  const list = await listArchives(options, context).finally(() => display.clear());
  if (args.json === true) await put(terminal, `${toJson(listJson(list))}\n`);
  else await putText(terminal, await listTable(list));
  return 0;
}

async function listTable({ archives }: ArchiveList): Promise<string> {
  const { table } = await import('./table.js');
  const head = ['NAME', 'TIME', 'REVISION', 'KEYS', 'SIZE', 'VERIFIED', 'FILE'];
  const now = Date.now();
  const rows = archives.map(({ archive, summary }) => [
    archive.name,
    formatTime(archive.time) + (isInFuture(archive.time, now) ? ' (in the future)' : ''),
    String(archive.revision),
    summary === undefined ? '?' : formatCount(summary.records),
    formatBytes(archive.size),
    verifiedText(summary),
    archive.file,
  ]);
  const notes = archives.flatMap(({ archive, summary }) => (summary?.notes ?? []).map(({ message }) => `${archive.file}: ${message}\n`));
  return [table(head, rows, ['left', 'left', 'right', 'right', 'right', 'left', 'left']), ...notes].join('');
}

function verifiedText(summary: ListedArchive['summary']): string {
  if (summary?.damagedAt !== undefined) return 'DAMAGED';
  const { content, bytes } = summary?.verified ?? {};
  if (content !== undefined) return formatTime(content);
  return bytes === undefined ? 'never' : 'bytes only';
}

function formatTime(time: number): string {
  return new Date(time).toISOString().replace(/\.\d+Z$/, 'Z');
}

/** The document that `list --json` prints. */
function listJson({ location, archives }: ArchiveList): object {
  return { schema: 'etcdferry.list/v1', location, archives: archives.map(archiveJson) };
}

function archiveJson({ archive, summary }: ListedArchive): object {
  const { name, file, time, revision, encrypted, size } = archive;
  const future = isInFuture(time, Date.now()) ? { future: true } : {};
  const known = { name, file, time: new Date(time).toISOString(), ...future, revision, encrypted, size };
  if (summary === undefined) return { ...known, summary: null };
  const { api, records, leases, rawBytes, digests, sha256, source, verified, notes, damagedAt, unchangedAt } = summary;
  return {
    ...known,
    summary: {
      ...{ api, records, leases, rawBytes, digests, ...(sha256 === undefined ? {} : { sha256 }), source },
      verified: { ...at('bytes', verified.bytes), ...at('content', verified.content) },
      ...(notes === undefined ? {} : { notes }),
      ...at('damagedAt', damagedAt),
      ...at('unchangedAt', unchangedAt),
    },
  };
}

function at(name: string, time: number | undefined): Record<string, string> {
  return time === undefined ? {} : { [name]: new Date(time).toISOString() };
}
