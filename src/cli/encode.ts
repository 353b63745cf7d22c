import type { ArgumentsCamelCase, Argv } from 'yargs';
import { FerryError } from '../errors.js';
import { type Command, type Declared, examples, exitStatus } from './command.js';
import { defined } from './requests.js';
import { put, type Terminal } from './terminal.js';

const build = (yargs: Argv) =>
  yargs
    .positional('file', { type: 'string', describe: 'One object as JSON or YAML; - or none for stdin', default: '-' })
    .options({
      storage: { choices: ['protobuf', 'json'], default: 'protobuf', describe: 'What to write' },
      release: {
        type: 'string',
        describe: 'Write what this Kubernetes release writes (1.24)',
        defaultDescription: "the YAML's comment, else the newest",
      },
    } as const)
    .epilogue(
      examples(
        ['what an API server would store', 'etcdferry encode pod.yaml > pod.bin'],
        ['as --storage-media-type=application/json stores it', 'etcdferry encode --storage json pod.yaml'],
      ),
    )
    .epilogue(exitStatus(0, 2, 13, 130));

type Arguments = Declared<typeof build>;

export const encodeCommand: Command<Arguments> = {
  spec: 'encode [file]',
  describe: 'JSON or YAML → stored Kubernetes bytes',
  build,
  run,
};

async function run(args: ArgumentsCamelCase<Arguments>, terminal: Terminal): Promise<number> {
  const { inputBytes } = await import('../jobs/decode.js');
  const { encodeStored } = await import('../kubernetes/encode.js');
  const { readDocuments } = await import('../kubernetes/yaml.js');
  const text = (await inputBytes(args.file, terminal.stdin)).toString();
  const documents = await terminal.blocking(() => readDocuments(text));
  const [document] = documents;
  if (document === undefined || documents.length !== 1) {
    throw new FerryError('usage', `${args.file}: holds ${documents.length} objects; a stored value is one`, {
      hint: 'Give one document a file.',
    });
  }
  const release = args.release ?? document.release;
  const { bytes } = await terminal.blocking(() => encodeStored(document.json, { storage: args.storage, ...defined('release', release) }));
  await put(terminal, bytes);
  return 0;
}
