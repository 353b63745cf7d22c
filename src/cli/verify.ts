import type { ArgumentsCamelCase, Argv } from 'yargs';
import type { ArchiveAccount } from '../archive/account.js';
import type { FerryError } from '../errors.js';
import type { FilesAccount, VerifyResult } from '../jobs/verify.js';
import { parseLocation } from '../locations/parse.js';
import { type Command, type Declared, examples, exitStatus, shownRun } from './command.js';
import { formatBytes, plural } from './format.js';
import { errorJson, notesJson, toJson } from './json.js';
import { sayNotes } from './notes.js';
import { dataDirOptions, fileOptions, outputOptions, readOptions, spoolOptions } from './options.js';
import { namesOption } from './repository-options.js';
import { sourceRequest } from './requests.js';
import { put, say, type Terminal } from './terminal.js';

const build = (yargs: Argv) =>
  yargs
    .positional('location', {
      type: 'string',
      array: true,
      demandOption: true,
      describe: 'Archives (- for stdin), repositories, snapshot files, data dirs',
    })
    .options({ ...namesOption, api: readOptions.api, ...fileOptions, ...dataDirOptions, ...spoolOptions, ...outputOptions } as const)
    .epilogue(
      examples(
        ['read every byte and check every digest', 'etcdferry verify etcd.tar'],
        ['an etcd snapshot file, and a stopped member', 'etcdferry verify snapshot.db /var/lib/etcd'],
        ['every archive in a repository; its list keeps what came of it', 'etcdferry verify /backups'],
        ['one object a line, a summary last', 'etcdferry verify backups/*.tar --json'],
      ),
    )
    .epilogue(exitStatus(0, 1, 2, 3, 10, 12, 13, 130));

type Arguments = Declared<typeof build>;
type WholeResult = Exclude<VerifyResult, { readonly error: FerryError }>;

export const verifyCommand: Command<Arguments> = {
  spec: 'verify <location..>',
  describe: "Prove archives and etcd's own files whole",
  build,
  run,
};

async function run(args: ArgumentsCamelCase<Arguments>, terminal: Terminal): Promise<number> {
  const { exitOfResults, verify } = await import('../jobs/verify.js');
  const requests = args.location.map((location) => sourceRequest({ ...args, from: location }, terminal));
  for (const text of args.location) parseLocation(text);
  const { run: context, display } = shownRun(terminal, args);
  const results: VerifyResult[] = [];
  for await (const result of verify(requests, context)) {
    display.clear();
    results.push(result);
    if (args.json === true) await put(terminal, `${toJson(resultJson(result))}\n`);
    else if (result.error !== undefined || args.quiet !== true) await tell(result, terminal);
  }
  const failed = results.filter((result) => result.error !== undefined).length;
  if (args.json === true) {
    const summary = { schema: 'etcdferry.verify-summary/v1', verified: results.length, whole: results.length - failed, failed };
    await put(terminal, `${toJson({ ...summary, exit: exitOfResults(results) })}\n`);
  } else if (results.length > 1 && args.quiet !== true) {
    await put(terminal, `${plural(results.length, 'location')}: ${results.length - failed} whole, ${failed} not\n`);
  }
  return exitOfResults(results);
}

async function tell(result: VerifyResult, terminal: Terminal): Promise<void> {
  if (result.error === undefined) {
    await put(terminal, `${result.location}: ${wholeText(result)}\n`);
    if ('notes' in result.account) sayNotes(terminal, result.account.notes);
    return;
  }
  const { message, hint } = result.error;
  await put(
    terminal,
    `${result.location}: ${message.startsWith(result.location) ? message.slice(result.location.length).replace(/^[: ]+/, '') : message}\n`,
  );
  if (hint !== undefined) say(terminal, `  ${hint}`);
}

function wholeText(result: WholeResult): string {
  if (result.kind === 'stored')
    return `stored bytes as written, ${formatBytes(result.account.size)}; encrypted, and no --identity was given`;
  const info = result.kind === 'archive' ? result.account.header : result.account.source;
  const at = `${info.api === 'v2' ? 'index' : 'revision'} ${info.revision}`;
  if (result.kind === 'archive')
    return `whole archive, ${plural(result.account.records, 'record')} at ${at}, ${formatBytes(result.account.size)}`;
  const { records, rawBytes } = result.account;
  const kind = result.kind === 'data-dir' ? `data dir (${info.api})` : 'snapshot file';
  return `whole ${kind}, ${plural(records, info.api === 'v2' ? 'node' : 'key')} at ${at}, ${formatBytes(rawBytes)} in them`;
}

/** A line of `verify --json`. */
function resultJson(result: VerifyResult): object {
  const head = { schema: 'etcdferry.verify/v1', location: result.location, whole: result.error === undefined };
  if (result.error !== undefined) return { ...errorJson(result.error), ...head };
  if (result.kind === 'stored') return { ...head, kind: result.kind, ...result.account };
  return { ...head, kind: result.kind, ...(result.kind === 'archive' ? archiveFields(result.account) : filesFields(result.account)) };
}

function archiveFields({ header, records, rawBytes, size, sha256, digests }: ArchiveAccount): object {
  const { formatVersion, api, order, revision } = header;
  return { formatVersion, api, order, revision, records, rawBytes, size, sha256, digests };
}

function filesFields({ source, records, rawBytes, leases, notes }: FilesAccount): object {
  const { api, order, revision } = source;
  return { api, order, [api === 'v2' ? 'index' : 'revision']: revision, records, rawBytes, leases, notes: notesJson(notes) };
}
