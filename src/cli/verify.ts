import type { ArgumentsCamelCase, Argv } from 'yargs';
import type { VerifyResult } from '../jobs/verify.js';
import { parseLocation } from '../locations/parse.js';
import { type Command, type Declared, exitStatus, shownRun } from './command.js';
import { formatBytes, plural } from './format.js';
import { errorJson, toJson } from './json.js';
import { outputOptions, spoolOptions } from './options.js';
import { sourceRequest } from './requests.js';
import { put, say, type Terminal } from './terminal.js';

const build = (yargs: Argv) =>
  yargs
    .positional('location', { type: 'string', array: true, demandOption: true, describe: 'Archives to prove whole; - for stdin' })
    .options({ ...spoolOptions, ...outputOptions } as const)
    .example('$0 verify etcd.tar', 'read every byte and check every digest')
    .example('$0 verify backups/*.tar --json', 'one object a line, a summary last')
    .epilogue(exitStatus(0, 1, 2, 12, 13, 130));

type Arguments = Declared<typeof build>;

export const verifyCommand: Command<Arguments> = {
  spec: 'verify <location..>',
  describe: 'Prove archives whole',
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
    const { account } = result;
    const at = `${account.header.api === 'v2' ? 'index' : 'revision'} ${account.header.revision}`;
    await put(terminal, `${result.location}: whole, ${plural(account.records, 'record')} at ${at}, ${formatBytes(account.size)}\n`);
    return;
  }
  const { message, hint } = result.error;
  await put(
    terminal,
    `${result.location}: ${message.startsWith(result.location) ? message.slice(result.location.length).replace(/^[: ]+/, '') : message}\n`,
  );
  if (hint !== undefined) say(terminal, `  ${hint}`);
}

/** A line of `verify --json`. */
function resultJson(result: VerifyResult): object {
  const head = { schema: 'etcdferry.verify/v1', location: result.location, whole: result.error === undefined };
  if (result.error !== undefined) return { ...errorJson(result.error), ...head };
  const { account } = result;
  return {
    ...head,
    kind: 'archive',
    formatVersion: account.header.formatVersion,
    api: account.header.api,
    order: account.header.order,
    revision: account.header.revision,
    records: account.records,
    rawBytes: account.rawBytes,
    size: account.size,
    sha256: account.sha256,
    digests: account.digests,
  };
}
