import type { ArgumentsCamelCase, Argv } from 'yargs';
import { formatKey } from '../convert/key-text.js';
import type { FoundValue } from '../jobs/get-value.js';
import type { ShownValue } from '../jobs/show-value.js';
import type { Encryption } from '../kubernetes/encryption/encryption.js';
import { type Command, type Declared, examples, exitStatus, shownRun } from './command.js';
import { entryJson } from './entry-json.js';
import { bytesField, toJson } from './json.js';
import { connectionOptions, encryptionOption, outputOptions, readOptions, spoolOptions } from './options.js';
import { sourceRequest } from './requests.js';
import { lockedText, valueJson } from './shown-value.js';
import { put, say, type Terminal } from './terminal.js';

const build = (yargs: Argv) =>
  yargs
    .positional('location', {
      type: 'string',
      demandOption: true,
      describe: 'Where to look: an archive, a snapshot file, a live cluster, …',
    })
    .positional('wanted', { type: 'string', demandOption: true, describe: 'The key' })
    .options({
      output: {
        alias: 'o',
        choices: ['yaml', 'json', 'raw'],
        describe: 'How to print it',
        defaultDescription: "yaml for Kubernetes' values",
      },
      base64: { type: 'boolean', describe: 'The key is given in base64' },
      ...encryptionOption,
      ...readOptions,
      ...connectionOptions,
      ...spoolOptions,
      ...outputOptions,
    } as const)
    .epilogue(
      examples(
        ['a Kubernetes object, as YAML', 'etcdferry get etcd.tar /registry/deployments/shop/web'],
        ['the value, byte for byte', 'etcdferry get etcd.tar /app/config -o raw'],
        ['with revisions and lease', 'etcdferry get etcd.tar /app/config --json'],
      ),
    )
    .epilogue(exitStatus(0, 1, 2, 3, 10, 12, 13, 130));

type Arguments = Declared<typeof build>;

export const getCommand: Command<Arguments> = {
  spec: 'get <location> <wanted>',
  describe: "Print one value, decoded when it is Kubernetes'",
  build,
  run,
};

async function run(args: ArgumentsCamelCase<Arguments>, terminal: Terminal): Promise<number> {
  const { getValue } = await import('../jobs/get-value.js');
  const key = Buffer.from(args.wanted, args.base64 === true ? 'base64' : 'utf8');
  const { run: context } = shownRun(terminal, { quiet: true });
  const found = await getValue(sourceRequest({ ...args, from: args.location }, terminal), key, context);
  if (args.output === 'raw' && args.json !== true && args['encryption-config'] === undefined) {
    await put(terminal, found.entry.value);
    return 0;
  }
  const { showValue } = await import('../jobs/show-value.js');
  const encryption = await encryptionOf(args['encryption-config']);
  const shown = await showValue(found.entry.key, found.entry.value, encryption).finally(() => encryption?.close());
  await print(found, shown, args, terminal);
  if (shown.locked === undefined) return 0;
  say(terminal, `LEFT OUT OR ALTERED: ${formatKey(found.entry.key)} ${lockedText(shown.locked)}`);
  return 3;
}

async function encryptionOf(path: string | undefined): Promise<Encryption | undefined> {
  if (path === undefined) return undefined;
  const { openEncryption } = await import('../locations/encryption.js');
  return openEncryption(path);
}

async function print(
  { entry, source }: FoundValue,
  shown: ShownValue,
  args: { readonly json?: boolean | undefined; readonly output?: string | undefined },
  terminal: Terminal,
): Promise<void> {
  const { json, release } = shown.stored;
  if (args.json === true) {
    const document = { schema: 'etcdferry.get/v1', ...entryJson(entry, source), ...valueJson(shown), ...bytesField('value', entry.value) };
    await put(terminal, `${toJson(document)}\n`);
  } else if (shown.locked !== undefined && args.output !== 'raw') {
    // Ciphertext on a terminal helps nobody; what it is encrypted with is said on stderr.
  } else if (json === undefined || args.output === 'raw') {
    await put(terminal, shown.bytes);
    // A pipe gets the value as it is; a person's prompt should stand on a line of its own.
    if (terminal.stdout.isTTY === true && shown.bytes.at(-1) !== 0x0a) await put(terminal, '\n');
  } else if (args.output === 'json') {
    await put(terminal, `${json.toString()}\n`);
  } else {
    const { toYaml } = await import('../kubernetes/yaml.js');
    await put(terminal, await terminal.blocking(() => toYaml(json, release)));
  }
}
