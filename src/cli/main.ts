import { setMaxListeners } from 'node:events';
import { setImmediate as nextTurn } from 'node:timers/promises';
import yargs, { type Argv } from 'yargs';
import { FerryError } from '../errors.js';
import {
  isStdoutTaken,
  jsonPlace,
  MISSING_POSITIONAL,
  maskWords,
  missingPositional,
  nameOf,
  refuseRepeated,
  refuseStrangeSwitches,
  unmaskWords,
  withoutValues,
} from './argv.js';
import { backupCommand } from './backup.js';
import { checkAgeCommand } from './check-age.js';
import { type Command, failureOf, tellFailure } from './command.js';
import { completionCommand } from './completion.js';
import { copyCommand } from './copy.js';
import { decodeCommand } from './decode.js';
import { diffCommand } from './diff.js';
import { encodeCommand } from './encode.js';
import { getCommand } from './get.js';
import { hashkvCommand } from './hashkv.js';
import { inspectCommand } from './inspect.js';
import { listCommand } from './list.js';
import { logFormatOf } from './log.js';
import { lsCommand } from './ls.js';
import { migrateCommand } from './migrate.js';
import { pruneCommand } from './prune.js';
import { restoreCommand } from './restore.js';
import { isReaderGone, stdoutFailure, type Terminal } from './terminal.js';
import { verifyCommand } from './verify.js';
import { toolVersion } from './version.js';

const WIDEST = 110;
/** The longest that a command may take to end in order once it was stopped, in milliseconds. */
const CLEARING_UP = 4_000;

/**
 * Runs the command line.
 *
 * @param argv arguments after the script's name
 * @returns the exit status
 */
export async function main(argv: readonly string[], process: NodeJS.Process): Promise<number> {
  const stop = new AbortController();
  const signals = stopOnSignals(process, stop);
  // Every request in flight listens to it; Node would take the eleventh for a leak, and say so on stderr.
  setMaxListeners(0, stop.signal);
  const terminal: Terminal = {
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    env: process.env,
    logFormat: logFormatOf(argv),
    signal: stop.signal,
    onInterrupt: signals.onInterrupt,
    blocking: signals.blocking,
  };
  let found: string | undefined;
  try {
    const work = runCommand(argv, terminal, (command) => {
      found = command;
    });
    return await unlessOverdue(work, stop.signal);
  } catch (thrown) {
    const error = failureOf(thrown, stop.signal);
    // As `| head` means it. An archive whose reader goes away is another thing: it is lost.
    if (error === stop.signal.reason && isReaderGone(error) && !isStdoutTaken(argv)) return error.exit;
    return tellFailure(error, terminal, jsonPlace(argv), found);
  } finally {
    signals.release();
  }
}

/**
 * Waits for the command; once it was stopped, no longer than it may take to clear up: whatever it waits for then (a disk that
 * does not answer, a plugin) may never come.
 */
async function unlessOverdue<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const overdue = new Promise<never>((_, reject) => {
    const begin = (): void => {
      timer = setTimeout(() => reject(signal.reason), CLEARING_UP);
    };
    signal.addEventListener('abort', begin, { once: true });
  });
  return Promise.race([work, overdue]).finally(() => clearTimeout(timer));
}

/** @param onFound told the name of the command, once that is known */
async function runCommand(argv: readonly string[], terminal: Terminal, onFound: (command: string) => void): Promise<number> {
  let exit = 0;
  let spec = '';
  const add = <A>(parser: Argv, command: Command<A>): Argv =>
    parser.command(
      command.spec,
      command.describe,
      (y) => {
        spec = command.spec;
        onFound(nameOf(spec));
        return command
          .build(y)
          .middleware((args) => refuseRepeated(args, y))
          .middleware(() => refuseStrangeSwitches(argv, y))
          .usage(`${command.describe}\n\nUsage: $0 ${command.spec} [options]`);
      },
      async (args) => {
        exit = await command.run(args, terminal);
      },
    );
  const parser: Argv = yargs(maskWords(argv))
    .middleware(unmaskWords, true)
    .scriptName('etcdferry')
    .usage('Back up, verify, restore and move etcd: any source to a portable archive, to any target.\n\nUsage: $0 COMMAND [options]')
    .parserConfiguration({
      'parse-numbers': false,
      'parse-positional-numbers': false,
      'duplicate-arguments-array': true,
      'camel-case-expansion': false,
    })
    .strict()
    .demandCommand(1, 'a command is missing')
    .recommendCommands()
    .version(toolVersion())
    // Our own texts are English; half of the help in the shell's language reads worse than all of it in one.
    .detectLocale(false)
    .updateStrings(MISSING_POSITIONAL as unknown as Record<string, string>)
    .option('log-format', {
      choices: ['text', 'json'] as const,
      group: 'Output:',
      describe: 'How stderr is written: for people, or one JSON object a line',
    })
    .alias('help', 'h')
    .wrap(Math.min(WIDEST, terminalWidth(terminal)))
    .exitProcess(false)
    .fail((message, error) => {
      throw error ?? new FerryError('usage', missingPositional(message, spec) ?? firstLower(withoutValues(message)));
    })
    .epilogue('Every command has its own --help, which ends in its exit status.');
  await withCommands(parser, add).parseAsync();
  return exit;
}

/** Adds every command, in the order of the help. */
function withCommands(parser: Argv, add: <A>(parser: Argv, command: Command<A>) => Argv): Argv {
  let all = parser;
  all = add(all, backupCommand);
  all = add(all, restoreCommand);
  all = add(all, migrateCommand);
  all = add(all, verifyCommand);
  all = add(all, inspectCommand);
  all = add(all, lsCommand);
  all = add(all, getCommand);
  all = add(all, diffCommand);
  all = add(all, hashkvCommand);
  all = add(all, decodeCommand);
  all = add(all, encodeCommand);
  all = add(all, pruneCommand);
  all = add(all, checkAgeCommand);
  all = add(all, listCommand);
  all = add(all, copyCommand);
  all = add(all, completionCommand);
  return all;
}

function terminalWidth(terminal: Terminal): number {
  const columns = (terminal.stdout as { columns?: number }).columns;
  return columns ?? 100;
}

function firstLower(message: string): string {
  return message.charAt(0).toLowerCase() + message.slice(1);
}

interface SignalHandling extends Pick<Terminal, 'onInterrupt' | 'blocking'> {
  /** Listens no more. */
  readonly release: () => void;
}

/**
 * The first SIGINT or SIGTERM stops the run in order; a second one ends the process at once. A command
 * may have one SIGINT before that mean something else. A reader of stdout that goes away stops it too.
 */
function stopOnSignals(process: NodeJS.Process, stop: AbortController): SignalHandling {
  const end = (reason: FerryError): void => {
    stop.abort(reason);
    // Who waits for input would wait on, and keep the process.
    process.stdin.destroy();
  };
  let instead: (() => void) | undefined;
  const interrupted = (): void => {
    const meant = instead;
    instead = undefined;
    if (meant !== undefined) {
      meant();
      return;
    }
    process.off('SIGINT', interrupted);
    end(new FerryError('interrupted', 'interrupted; nothing half-written is left under a final name'));
  };
  const terminated = (): void => end(new FerryError('terminated', 'terminated; nothing half-written is left under a final name'));
  const broken = (thrown: Error): void => end(stdoutFailure(thrown));
  const listen = (): void => {
    process.on('SIGINT', interrupted);
    process.once('SIGTERM', terminated);
  };
  const release = (): void => {
    process.off('SIGINT', interrupted);
    process.off('SIGTERM', terminated);
  };
  listen();
  process.stdout.on('error', broken);
  return {
    onInterrupt: (meaning) => {
      instead = meaning;
    },
    blocking: async (work) => {
      // A signal that came during what was done before is told at the second turn of the event loop.
      await nextTurn();
      await nextTurn();
      stop.signal.throwIfAborted();
      release();
      try {
        return work();
      } finally {
        listen();
      }
    },
    release,
  };
}
