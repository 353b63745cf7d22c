import type { ArgumentsCamelCase, Argv } from 'yargs';
import type { AgeOfName, CheckAgeReport } from '../jobs/check-age.js';
import { parseLocation } from '../locations/parse.js';
import { parseDuration } from '../locations/quantity.js';
import { type Command, type Declared, examples, exitStatus, shownRun } from './command.js';
import { formatAge } from './format.js';
import { toJson } from './json.js';
import { outputOptions } from './options.js';
import { s3Options, s3Settings } from './repository-options.js';
import { defined } from './requests.js';
import { put, putText, say, type Terminal } from './terminal.js';

const build = (yargs: Argv) =>
  yargs
    .positional('repository', { type: 'string', demandOption: true, describe: 'Repository: a directory, or s3://bucket/prefix' })
    .options({
      'max-age': {
        type: 'string',
        demandOption: true,
        requiresArg: true,
        describe: 'How old the newest archive of a NAME may be (26h, 2d)',
      },
      require: { choices: ['verify'], describe: 'Count only archives that passed `etcdferry verify`' },
      name: { type: 'string', array: true, requiresArg: true, describe: 'Only archives of this NAME (repeatable)' },
      ...s3Options,
      ...outputOptions,
    } as const)
    .epilogue(
      examples(
        ['nightly backups, with two hours to spare', 'etcdferry check-age /backup/etcd --max-age 26h'],
        ['proven ones, once a week', 'etcdferry check-age s3://bucket/etcd --max-age 8d --require verify'],
      ),
    )
    .epilogue(exitStatus(0, 1, 2, 4, 10, 130).replace('compared, and they differ', 'a newest archive is too old'));

type Arguments = Declared<typeof build>;

export const checkAgeCommand: Command<Arguments> = {
  spec: 'check-age <repository>',
  describe: 'Is the newest archive of every NAME recent enough?',
  build,
  run,
};

async function run(args: ArgumentsCamelCase<Arguments>, terminal: Terminal): Promise<number> {
  const [{ checkAge }, { openRepository }] = await Promise.all([import('../jobs/check-age.js'), import('../locations/repository.js')]);
  const maxAge = parseDuration(args['max-age'], '--max-age');
  const { run: context, display } = shownRun(terminal, args);
  const request = { location: parseLocation(args.repository), ...defined('s3', s3Settings(args, terminal)) };
  await using repository = await openRepository(request, context);
  const options = {
    maxAge,
    now: Date.now(),
    ...defined('names', args.name),
    ...(args.require === 'verify' ? { require: args.require } : {}),
  };
  const report = await checkAge(repository, options, context).finally(() => display.clear());
  if (args.json === true) await put(terminal, `${toJson(reportJson(report))}\n`);
  else for (const name of report.names) if (args.quiet !== true || !name.fresh) await putText(terminal, `${ageText(name, args.require)}\n`);
  if (report.fresh) return 0;
  const late = report.names.filter(({ fresh }) => !fresh).map(({ name }) => name);
  const next = args.require === 'verify' ? `etcdferry verify ${report.location}` : 'the log of the last backup';
  say(terminal, `etcdferry: too old (over ${args['max-age']}): ${late.join(', ')}\n  Look at ${next}.`, {
    level: 'error',
    event: 'too-old',
    message: `too old (over ${args['max-age']}): ${late.join(', ')}`,
    names: late,
    exit: 4,
    hint: `Look at ${next}.`,
  });
  return 4;
}

function ageText({ name, fresh, age, archive }: AgeOfName, required: string | undefined): string {
  if (archive === undefined || age === undefined)
    return `${name}: too old, nothing ${required === undefined ? 'of the past' : `that passed ${required}`}`;
  return `${name}: ${fresh ? 'fresh' : 'too old'}, ${formatAge(age)} (${archive.file})`;
}

/** The document that `check-age --json` prints. */
function reportJson(report: CheckAgeReport): object {
  return {
    schema: 'etcdferry.check-age/v1',
    location: report.location,
    fresh: report.fresh,
    names: report.names.map(({ name, fresh, archive, backedUpAt, age }) => ({
      name,
      fresh,
      ...(archive === undefined ? {} : { file: archive.file }),
      ...(backedUpAt === undefined ? {} : { backedUpAt: new Date(backedUpAt).toISOString() }),
      ...(age === undefined ? {} : { ageSeconds: Math.round(age / 1000) }),
    })),
  };
}
