import type { Writable } from 'node:stream';
import { FerryError } from '../errors.js';
import { withoutSecrets } from '../model/secrets.js';
import { harmlessBlock, withoutCommands } from '../model/shown-text.js';
import { eventOfLine, type LogEvent, type LogFormat, logLine } from './log.js';
import { hasColours, PAINTED } from './paint.js';

/** Everything a command may know of the process it runs in. */
export interface Terminal {
  readonly stdin: AsyncIterable<Uint8Array>;
  readonly stdout: Writable & { readonly isTTY?: boolean; readonly columns?: number };
  readonly stderr: Writable & { readonly isTTY?: boolean; readonly columns?: number };
  readonly env: Readonly<Record<string, string | undefined>>;
  /** How stderr is written; lines for people unless it says otherwise. */
  readonly logFormat?: LogFormat;
  /** Put before each line on stderr, where several runs share it. */
  readonly label?: string;
  /** Aborted by SIGINT and SIGTERM. */
  readonly signal: AbortSignal;
  /** From now on the first SIGINT does this instead of stopping the run, and the second one stops it. */
  readonly onInterrupt: (instead: () => void) => void;
  /**
   * Does work that lets nothing else run until it is done, and that leaves nothing behind when it is cut off: SIGINT and SIGTERM
   * then end the process at once, as no handler would be called before the work is done.
   */
  readonly blocking: <T>(work: () => T) => Promise<T>;
}

/**
 * Writes a line for people to stderr; where logs are wanted as JSON, the event it tells of.
 *
 * @param event by default what the line's beginning tells (`warning: …`)
 */
export function say(terminal: Terminal, line: string, event: LogEvent = eventOfLine(line)): void {
  const { label, logFormat, stderr } = terminal;
  const message = withoutSecrets(event.message);
  if (logFormat === 'json') stderr.write(`${logLine({ ...event, message, ...(label === undefined ? {} : { profile: label }) })}\n`);
  else stderr.write(`${forPeople(withLabel(withoutSecrets(line), label), terminal)}\n`);
}

function withLabel(line: string, label: string | undefined): string {
  return label === undefined ? line : `${label}: ${line.replaceAll('\n', `\n${label}: `)}`;
}

/** Writes lines for people to stdout, as `put` does data. */
export function putText(terminal: Terminal, text: string): Promise<void> {
  if (!hasColours(terminal)) return put(terminal, forPeople(text, terminal));
  const parts = text.split(PAINTED).map((part, i) => (i % 2 === 0 ? forPeople(part, terminal) : part));
  return put(terminal, parts.join(''));
}

/** Set by the CI servers that take lines of a log for commands: GitHub (Gitea, Forgejo), Azure Pipelines, TeamCity. */
const CI_SERVERS = ['GITHUB_ACTIONS', 'TF_BUILD', 'TEAMCITY_VERSION'] as const;

/** The last line of defence: whatever was forgotten before, nothing steers the terminal or the CI server that shows it. */
function forPeople(text: string, { env }: Terminal): string {
  const plain = harmlessBlock(text);
  return CI_SERVERS.some((name) => (env[name] ?? '') !== '') ? withoutCommands(plain) : plain;
}

/**
 * Writes data to stdout, at the pace it is taken.
 *
 * @throws FerryError when it cannot be written, or the run is stopped meanwhile
 */
export async function put(terminal: Terminal, data: string | Uint8Array): Promise<void> {
  const { stdout, signal } = terminal;
  signal.throwIfAborted();
  if (stdout.write(data)) return;
  await new Promise<void>((resolve, reject) => {
    // A failed write aborts the run (see main), and no drain follows it.
    const stopped = (): void => reject(signal.reason);
    signal.addEventListener('abort', stopped, { once: true });
    stdout.once('drain', () => {
      signal.removeEventListener('abort', stopped);
      resolve();
    });
  });
}

/** Whether a failure of stdout is that nobody reads it any more. */
export function isReaderGone({ cause }: FerryError): boolean {
  return cause instanceof Error && (cause as NodeJS.ErrnoException).code === 'EPIPE';
}

/** What a failure to write to stdout means. */
export function stdoutFailure(thrown: Error): FerryError {
  return (thrown as NodeJS.ErrnoException).code === 'EPIPE'
    ? new FerryError('failed', 'writing to stdout: its reader has gone away', { cause: thrown })
    : FerryError.from(thrown, 'writing to stdout');
}
