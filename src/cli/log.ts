import type { FerryErrorCode } from '../errors.js';
import { harmlessJson } from '../model/shown-text.js';

/** How stderr is written: lines for people, or one JSON object a line for a collector of logs. */
export type LogFormat = 'text' | 'json';

export interface LogEvent {
  readonly level: 'info' | 'warning' | 'error';
  /** A fixed name, for scripts: `message`, `progress`, `failure`, `report`. */
  readonly event: string;
  readonly message: string;
  /** Whatever else is known of it. */
  readonly [field: string]: unknown;
}

/** The format that a command line asks for, told before anything is parsed: what is wrong with it must be told too. */
export function logFormatOf(argv: readonly string[]): LogFormat {
  const end = argv.indexOf('--');
  const flags = end < 0 ? argv : argv.slice(0, end);
  return flags.some((word, i) => word === '--log-format=json' || (word === '--log-format' && flags[i + 1] === 'json')) ? 'json' : 'text';
}

/** One event as a line of JSON, the time first. */
export function logLine(event: LogEvent, now: Date = new Date()): string {
  const { level, event: name, message, ...rest } = event;
  return harmlessJson(JSON.stringify({ time: now.toISOString(), level, event: name, message, ...rest }));
}

const PREFIXES: readonly (readonly [start: string, level: LogEvent['level'], event: string])[] = [
  ['warning: ', 'warning', 'warning'],
  ['WARNING: ', 'warning', 'warning'],
  ['LEFT OUT OR ALTERED: ', 'warning', 'lossy-note'],
  ['note: ', 'info', 'note'],
  ['etcdferry: ', 'error', 'failure'],
];

/** What a line for people says, as an event. */
export function eventOfLine(line: string): LogEvent {
  const prefix = PREFIXES.find(([start]) => line.startsWith(start));
  if (prefix === undefined) return { level: 'info', event: 'message', message: line.trim() };
  const [start, level, event] = prefix;
  return { level, event, message: line.slice(start.length).trim() };
}

/**
 * What to do next, where an error does not say it itself.
 *
 * @param command whose help is to be looked at, where one is known
 */
export function nextStep(code: FerryErrorCode, command?: string): string {
  return NEXT_STEP[code].replace(' COMMAND', command === undefined ? '' : ` ${command}`);
}

export const NEXT_STEP: Readonly<Record<FerryErrorCode, string>> = {
  failed: 'Run it again; if it fails in the same way, look at what is named here.',
  'no-space': 'Free some space, or choose another target.',
  'not-writable': 'Check the owner and mode of the path.',
  usage: 'See: etcdferry COMMAND --help',
  'not-found': 'Check its name, and that what it lies on is mounted.',
  compacted: 'Ask for a newer revision, or leave --revision away.',
  'future-revision': 'Ask for an older revision, or leave --revision away.',
  'no-identity': 'Give the right one with --identity FILE, or --passphrase-file FILE.',
  'empty-repository': 'Is it the right directory or bucket? etcdferry backup --to makes archives there.',
  incomplete: 'See the notes for what was left out.',
  differs: 'Look at what differs, and run it again.',
  unreachable: 'Check the address, and that it can be reached from this machine.',
  unauthorized: 'Check the credentials, and what they permit.',
  'other-cluster': 'Name endpoints of one cluster only.',
  'not-up-to-date': 'Name an endpoint of a member that is up to date.',
  'in-the-way': 'Choose another target, or clear this one.',
  damaged: 'Take another copy; etcdferry verify tells which ones are whole.',
  'unknown-format': 'Use the release that wrote it, or a newer one.',
  locked: 'Wait for the other run with --wait 10m.',
  interrupted: 'Run it again.',
  terminated: 'Run it again.',
};
