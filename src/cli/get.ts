import type { ArgumentsCamelCase, Argv } from 'yargs';
import { type Command, type Declared, exitStatus, shownRun } from './command.js';
import { entryJson } from './entry-json.js';
import { bytesField, toJson } from './json.js';
import { connectionOptions, outputOptions, readOptions, spoolOptions } from './options.js';
import { sourceRequest } from './requests.js';
import { put, type Terminal } from './terminal.js';

const build = (yargs: Argv) =>
  yargs
    .positional('location', { type: 'string', demandOption: true, describe: 'Where to look: an archive, - or a live cluster' })
    .positional('wanted', { type: 'string', demandOption: true, describe: 'The key' })
    .options({
      base64: { type: 'boolean', describe: 'The key is given in base64' },
      ...readOptions,
      ...connectionOptions,
      ...spoolOptions,
      ...outputOptions,
    } as const)
    .example('$0 get etcd.tar /app/config', 'the value, byte for byte')
    .example('$0 get etcd.tar /app/config --json', 'with revisions and lease')
    .epilogue(exitStatus(0, 1, 2, 10, 12, 13, 130));

type Arguments = Declared<typeof build>;

export const getCommand: Command<Arguments> = {
  spec: 'get <location> <wanted>',
  describe: 'Print one value',
  build,
  run,
};

async function run(args: ArgumentsCamelCase<Arguments>, terminal: Terminal): Promise<number> {
  const { getValue } = await import('../jobs/get-value.js');
  const key = Buffer.from(args.wanted, args.base64 === true ? 'base64' : 'utf8');
  const { run: context } = shownRun(terminal, { quiet: true });
  const { entry, source } = await getValue(sourceRequest({ ...args, from: args.location }, terminal), key, context);
  if (args.json === true) {
    await put(terminal, `${toJson({ schema: 'etcdferry.get/v1', ...entryJson(entry, source), ...bytesField('value', entry.value) })}\n`);
    return 0;
  }
  await put(terminal, entry.value);
  // A pipe gets the value as it is; a person's prompt should stand on a line of its own.
  if (terminal.stdout.isTTY === true && entry.value.at(-1) !== 0x0a) await put(terminal, '\n');
  return 0;
}
