import type { ArgumentsCamelCase, Argv } from 'yargs';
import { FerryError } from '../errors.js';
import type { RunContext } from '../model/run.js';
import { harmlessLine } from '../model/shown-text.js';
import { errorJson, toJson } from './json.js';
import { nextStep } from './log.js';
import { ProgressDisplay } from './progress.js';
import { say, type Terminal } from './terminal.js';

/** One subcommand: how it is spelled, what it takes, and what it does. */
export interface Command<A> {
  /** Name and positionals as yargs has them: `verify <location..>`. */
  readonly spec: string;
  /** One line for the list of commands. */
  readonly describe: string;
  readonly build: (yargs: Argv) => Argv<A>;
  /** Does it. Resolves to the exit status; what is thrown becomes one too. */
  readonly run: (args: ArgumentsCamelCase<A>, terminal: Terminal) => Promise<number>;
}

/** What yargs knows of the arguments that a `build` function declares. */
export type Declared<B> = B extends (yargs: Argv) => Argv<infer A> ? A : never;

const EXIT_STATUS: Readonly<Record<number, string>> = {
  0: 'all of it done',
  1: 'failed (disk full, target cannot be written, NOSPACE, …)',
  2: 'usage, a path or revision that is not there',
  3: 'finished, but something was left out or altered without being asked for',
  4: 'compared, and they differ',
  10: 'a cluster or an object store cannot be reached, or refuses the credentials',
  11: 'the target holds something that is in the way',
  12: 'damaged or incomplete',
  13: 'whole, but of a format this release does not know',
  14: "another run holds the repository's lock",
  130: 'interrupted (143: terminated); nothing half-written is left under a final name',
};

/**
 * The examples of a help text, each on a line of its own, so that it can be copied: yargs' own
 * columns would break it.
 */
export function examples(...pairs: readonly (readonly [what: string, command: string])[]): string {
  return `Examples:\n${pairs.map(([what, command]) => `  # ${what}\n  ${command}`).join('\n')}\n`;
}

/** The last lines of every help text. */
export function exitStatus(...codes: readonly number[]): string {
  const lines = codes.map((code) => `  ${String(code).padStart(3)}  ${EXIT_STATUS[code]}`);
  return `Exit status:\n${lines.join('\n')}`;
}

/** What a run may do with the terminal, and how to put it in order when the run ends. */
export interface ShownRun {
  readonly run: RunContext;
  readonly display: ProgressDisplay;
}

/** A run context that shows progress and warnings on stderr. */
export function shownRun(terminal: Terminal, args: { readonly quiet?: boolean | undefined }): ShownRun {
  const display = new ProgressDisplay(terminal, args.quiet !== true);
  const warn = (message: string): void => {
    display.clear();
    say(terminal, `warning: ${harmlessLine(message)}`);
  };
  return { display, run: { signal: terminal.signal, progress: (progress) => display.update(progress), warn } };
}

/**
 * Tells of a failure: one line and what to do next on stderr, and a document where JSON is wanted.
 *
 * @param command name of the command that failed, where one was found
 * @returns the exit status
 */
export function tellFailure(error: FerryError, terminal: Terminal, json: 'stdout' | 'stderr' | undefined, command?: string): number {
  if (json !== undefined) terminal[json].write(`${toJson(errorJson(error))}\n`);
  const { code, exit } = error;
  const [message, hint] = [harmlessLine(error.message), harmlessLine(error.hint ?? nextStep(code, command))];
  say(terminal, `etcdferry: ${message}\n  ${hint}`, { level: 'error', event: 'failure', message, code, exit, hint });
  return exit;
}

/** The reason a run was stopped for, where it was; else what was thrown. */
export function failureOf(thrown: unknown, signal: AbortSignal): FerryError {
  return signal.aborted && signal.reason instanceof FerryError ? signal.reason : FerryError.from(thrown);
}
