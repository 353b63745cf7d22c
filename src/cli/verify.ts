import type { ArgumentsCamelCase, Argv } from 'yargs';
import { FerryError } from '../errors.js';
import type { VerifyOptions, VerifyResult } from '../jobs/verify.js';
import type { Encryption } from '../kubernetes/encryption/encryption.js';
import type { SourceRequest } from '../locations/source.js';
import type { RunContext } from '../model/run.js';
import { harmlessLine } from '../model/shown-text.js';
import { type Command, type Declared, examples, exitStatus, shownRun } from './command.js';
import { plural } from './format.js';
import { toJson } from './json.js';
import { sayNotes } from './notes.js';
import { dataDirOptions, fileOptions, OUTPUT, outputOptions, readOptions, spoolOptions } from './options.js';
import { painter } from './paint.js';
import { checkReportFiles, type ReportFile, refuseUnwritable, writeSmallFile } from './report-file.js';
import { namesOption } from './repository-options.js';
import { sourceRequest } from './requests.js';
import { put, putText, say, type Terminal } from './terminal.js';
import { verifyOptions, verifyRequest } from './verify-options.js';

const build = (yargs: Argv) =>
  yargs
    .positional('location', {
      type: 'string',
      array: true,
      demandOption: true,
      describe: 'Archives (- for stdin), repositories, snapshot files, data dirs',
    })
    .options({
      ...verifyOptions,
      report: {
        type: 'string',
        array: true,
        requiresArg: true,
        group: OUTPUT,
        describe: 'Write a report for a CI server, in place of an older one: JUnit XML (.xml) or JSON (.json) (repeatable)',
      },
      ...namesOption,
      api: readOptions.api,
      ...fileOptions,
      ...dataDirOptions,
      ...spoolOptions,
      ...outputOptions,
    } as const)
    .epilogue(
      examples(
        ['read every byte and check every digest', 'etcdferry verify etcd.tar'],
        ['look at every record, and decode what Kubernetes stored', 'etcdferry verify etcd.tar --depth records'],
        ['an etcd snapshot file, and a stopped member', 'etcdferry verify snapshot.db /var/lib/etcd'],
        ['every archive in a repository; its list keeps what came of it', 'etcdferry verify /backups'],
        ['restore it into a real etcd, and read everything back', 'etcdferry verify etcd.tar --drill'],
        ['what the cluster held then, and holds still', 'etcdferry verify etcd.tar --against http://127.0.0.1:2379 --ignore-kind Event'],
        ['for a CI server', 'etcdferry verify /backups --report verify.xml'],
        ['a seventh of each a day; one object a line, a summary last', 'etcdferry verify backups/*.tar --sample 1/7 --json'],
      ),
    )
    .epilogue(exitStatus(0, 1, 2, 3, 4, 10, 12, 13, 130));

type Arguments = Declared<typeof build>;
type Parsed = ArgumentsCamelCase<Arguments>;

export const verifyCommand: Command<Arguments> = {
  spec: 'verify <location..>',
  describe: "Prove archives and etcd's own files whole",
  build,
  run,
};

async function run(args: Parsed, terminal: Terminal): Promise<number> {
  const { exitOfResults, verify } = await import('../jobs/verify.js');
  const reports = checkReportFiles(args.report);
  await refuseUnwritable(reports, [...args.location, args.against, args['encryption-config']]);
  const startedAt = new Date();
  const requests = args.location.map((location) => sourceRequest({ ...args, from: location }, terminal, {}));
  await refuseStrayNames(args, requests);
  await using encryption = await encryptionOf(args['encryption-config']);
  const options: VerifyOptions = await verifyRequest(args, encryption, terminal);
  const { run: context, display } = shownRun(terminal, args);
  const tell = await teller(args, terminal);
  const results: VerifyResult[] = [];
  for await (const result of verify(requests, context, options)) {
    display.clear();
    results.push(result);
    await tell.one(result);
  }
  const found = exitOfResults(results);
  const written = await writeReports(results, found, { reports, startedAt }, context);
  // What was found counts before what could not be written.
  const exit = found === 0 && !written ? 1 : found;
  await tell.all(results, exit);
  if (terminal.env.GITHUB_ACTIONS === 'true') {
    const [{ tellGitHub }, { verdictOf }] = await Promise.all([import('./github.js'), import('./verify-report.js')]);
    await tellGitHub(results.map(verdictOf), terminal);
  }
  return exit;
}

/** NAMEs are those of archives in a repository; a single file has none. */
async function refuseStrayNames({ name }: Parsed, requests: readonly SourceRequest[]): Promise<void> {
  if (name === undefined) return;
  const [{ isRepository }, { detect }] = await Promise.all([import('../locations/repository.js'), import('../locations/detect.js')]);
  for (const { location } of requests) {
    const isThere = location.kind !== 'path' || (await detect(location.path)) !== 'missing';
    if (isThere && !(await isRepository(location))) throw new FerryError('usage', `--name is for a repository; ${location.text} is none`);
  }
}

/**
 * Writes the files of `--report`. Whoever waits for them is told why one is missing; the others are told what was found all the same.
 *
 * @returns false when one could not be written
 */
async function writeReports(
  results: readonly VerifyResult[],
  exit: number,
  { reports, startedAt }: { readonly reports: readonly ReportFile<'xml' | 'json'>[]; readonly startedAt: Date },
  { warn }: RunContext,
): Promise<boolean> {
  if (reports.length === 0) return true;
  const { reportJson, reportJunit, verdictOf } = await import('./verify-report.js');
  let written = true;
  for (const { path, kind } of reports) {
    try {
      await writeSmallFile(path, kind === 'json' ? reportJson(results, exit) : await reportJunit(results.map(verdictOf), startedAt));
    } catch (thrown) {
      written = false;
      warn(`the report ${path} was not written: ${FerryError.from(thrown).message}`);
    }
  }
  return written;
}

async function encryptionOf(path: string | undefined): Promise<Encryption | undefined> {
  if (path === undefined) return undefined;
  const { openEncryption } = await import('../locations/encryption.js');
  return openEncryption(path);
}

/** How results are told, one by one and in all. */
interface Teller {
  readonly one: (result: VerifyResult) => Promise<void>;
  readonly all: (results: readonly VerifyResult[], exit: number) => Promise<void>;
}

async function teller(args: Parsed, terminal: Terminal): Promise<Teller> {
  if (args.json === true) {
    const { resultJson, summaryJson } = await import('./verify-json.js');
    return {
      one: (result) => put(terminal, `${toJson(resultJson(result))}\n`),
      all: (results, exit) => put(terminal, `${toJson(summaryJson(results, exit))}\n`),
    };
  }
  const { exitOfResult, notesOfResult } = await import('../jobs/verify.js');
  const { failedText, passedText } = await import('./verify-text.js');
  const paint = painter(terminal);
  const isPassed = (result: VerifyResult): boolean => result.error === undefined && exitOfResult(result) !== 4;
  return {
    one: async (result) => {
      if (result.error === undefined) {
        if (args.quiet === true && isPassed(result)) return;
        await putText(terminal, `${passedText(result, paint)}\n`);
        sayNotes(terminal, notesOfResult(result));
        return;
      }
      await putText(terminal, `${failedText(result, paint)}\n`);
      if (result.error.hint !== undefined) say(terminal, `  ${harmlessLine(result.error.hint)}`);
    },
    all: async (results) => {
      if (results.length < 2 || args.quiet === true) return;
      const passed = results.filter(isPassed).length;
      // Of what is whole and yet differs it cannot be said that it is not whole.
      const isWhole = (result: VerifyResult): boolean => result.error !== undefined || (result.whole && isPassed(result));
      const word = results.every(isWhole) ? 'whole' : 'passed';
      const counts = `${passed} ${word}, ${results.length - passed} not`;
      await putText(terminal, `${plural(results.length, 'location')}: ${paint(passed === results.length ? 'green' : 'red', counts)}\n`);
    },
  };
}
