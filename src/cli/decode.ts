import type { ArgumentsCamelCase, Argv } from 'yargs';
import { worstExit } from '../errors.js';
import type { DecodeResult } from '../jobs/decode.js';
import { harmless, harmlessLine } from '../model/shown-text.js';
import { type Command, type Declared, examples, exitStatus } from './command.js';
import { errorJson, toJson } from './json.js';
import { encryptionOption, outputOptions } from './options.js';
import { defined } from './requests.js';
import { lockedText, valueJson } from './shown-value.js';
import { put, say, type Terminal } from './terminal.js';

const build = (yargs: Argv) =>
  yargs
    .positional('file', { type: 'string', array: true, describe: 'Files of stored bytes; - or none for stdin', default: ['-'] })
    .options({
      output: { alias: 'o', choices: ['yaml', 'json'], default: 'yaml', describe: 'How to print objects' },
      key: { type: 'string', describe: 'The etcd key of a ciphertext, which AES-GCM and KMS need' },
      ...encryptionOption,
      json: { ...outputOptions.json, describe: 'A line per input: file, kind, apiVersion, and object or error' },
    } as const)
    .epilogue(
      examples(
        ['a value as YAML; without a file: what etcdctl get prints, from a pipe', 'etcdferry decode value.bin'],
        ['a line of JSON each', 'etcdferry decode a.bin b.bin -o json'],
      ),
    )
    .epilogue(exitStatus(0, 2, 3, 10, 12, 13, 130));

type Arguments = Declared<typeof build>;

export const decodeCommand: Command<Arguments> = {
  spec: 'decode [file..]',
  describe: 'Stored Kubernetes bytes → YAML or JSON',
  build,
  run,
};

async function run(args: ArgumentsCamelCase<Arguments>, terminal: Terminal): Promise<number> {
  const { decode } = await import('../jobs/decode.js');
  const { openEncryption } = await import('../locations/encryption.js');
  const config = args['encryption-config'];
  await using encryption = config === undefined ? undefined : await openEncryption(config);
  const key = args.key === undefined ? undefined : Buffer.from(args.key);
  const options = { ...defined('key', key), ...defined('encryption', encryption), stdin: terminal.stdin };
  const exits: number[] = [];
  let documents = 0;
  for await (const result of decode(args.file, options)) {
    terminal.signal.throwIfAborted();
    exits.push(exitOf(result));
    if (args.json === true) await put(terminal, `${toJson(resultJson(result))}\n`);
    else await print(result, args.output, documents++, terminal);
  }
  if (args.json === true) {
    const failed = exits.filter((exit) => exit !== 0).length;
    await put(terminal, `${toJson({ schema: 'etcdferry.decode-summary/v1', values: exits.length, failed, exit: worstExit(exits) })}\n`);
  }
  return worstExit(exits);
}

/** 3 for a value that stays encrypted or has fields no release known here has; 13 for a kind none has. */
function exitOf({ value, error }: DecodeResult): number {
  if (error !== undefined) return error.exit;
  if (value.locked !== undefined) return 3;
  return value.stored.isKnownKind ? 0 : 13;
}

async function print({ file, value, error }: DecodeResult, output: string, before: number, terminal: Terminal): Promise<void> {
  if (error !== undefined) {
    say(terminal, `etcdferry: ${harmlessLine(error.message)}`);
    return;
  }
  const { stored, locked, bytes } = value;
  if (locked !== undefined) say(terminal, `LEFT OUT OR ALTERED: ${harmless(file)}: ${lockedText(locked)}`);
  else if (stored.json === undefined) await put(terminal, bytes);
  else if (output === 'json') await put(terminal, `${stored.json.toString().trim()}\n`);
  else {
    const { toYaml } = await import('../kubernetes/yaml.js');
    const { json } = stored;
    const yaml = await terminal.blocking(() => toYaml(json, stored.release));
    await put(terminal, `${before > 0 ? '---\n' : ''}${yaml}`);
  }
  if (!stored.isKnownKind)
    say(terminal, `etcdferry: ${harmless(`${file}: ${stored.kind} of ${stored.apiVersion}`)} is a kind this release does not know`);
}

/** A line of `decode --json`. */
function resultJson(result: DecodeResult): object {
  const head = { schema: 'etcdferry.decode/v1', file: result.file };
  if (result.error !== undefined) return { ...errorJson(result.error), ...head };
  return { ...head, ...(result.key === undefined ? {} : { key: result.key.toString() }), ...valueJson(result.value) };
}
