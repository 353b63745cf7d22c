import { withoutSecrets } from './model/secrets.js';

/**
 * What can go wrong, by name. Each code has one fixed exit status; the table is part of the
 * command line's contract and never changes meaning.
 */
export const EXIT_BY_CODE = {
  failed: 1,
  'no-space': 1,
  'not-writable': 1,
  usage: 2,
  'not-found': 2,
  compacted: 2,
  'future-revision': 2,
  'no-identity': 2,
  'empty-repository': 2,
  incomplete: 3,
  differs: 4,
  unreachable: 10,
  unauthorized: 10,
  'other-cluster': 10,
  'not-up-to-date': 10,
  'in-the-way': 11,
  damaged: 12,
  'unknown-format': 13,
  locked: 14,
  interrupted: 130,
  terminated: 143,
} as const;

export type FerryErrorCode = keyof typeof EXIT_BY_CODE;

/** With several results, the exit status is the first of these that is present. */
const EXIT_RANK = [143, 130, 12, 13, 10, 14, 11, 1, 2, 4, 3];

export interface FerryErrorOptions {
  /** What the user can do about it, as a sentence. */
  readonly hint?: string;
  readonly cause?: unknown;
}

/** The one error this project throws: a code, a line for the user, and what to do about it. */
export class FerryError extends Error {
  readonly code: FerryErrorCode;
  readonly hint: string | undefined;

  /**
   * @param code what went wrong; decides the exit status
   * @param message one line: what was found and what was expected; what may be a secret in it is hidden
   */
  constructor(code: FerryErrorCode, message: string, options: FerryErrorOptions = {}) {
    super(withoutSecrets(message), options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'FerryError';
    this.code = code;
    this.hint = options.hint === undefined ? undefined : withoutSecrets(options.hint);
  }

  /** The process exit status that goes with the code. */
  get exit(): number {
    return EXIT_BY_CODE[this.code];
  }

  /**
   * Turns anything thrown into a FerryError. Errors of the operating system get the code they
   * deserve; what is already a FerryError is returned as it is.
   *
   * @param doing what was being done, put before the message ("writing /backup/x.tar")
   */
  static from(thrown: unknown, doing?: string): FerryError {
    if (thrown instanceof FerryError) return thrown;
    const before = doing === undefined ? '' : `${doing}: `;
    if (!(thrown instanceof Error)) {
      return new FerryError('failed', `${before}${String(thrown)}`, { cause: thrown });
    }
    const known = systemError((thrown as NodeJS.ErrnoException).code);
    if (known === undefined) return new FerryError('failed', `${before}${messageOf(thrown)}`, { cause: thrown });
    return new FerryError(known.code, `${before}${known.message}`, { hint: known.hint, cause: thrown });
  }
}

/** The system's own words without the path behind them, which is in what was being done, or may be a secret. */
function messageOf(thrown: NodeJS.ErrnoException): string {
  const { message, syscall, path } = thrown;
  return syscall === undefined || path === undefined ? message : (message.split(`, ${syscall} `)[0] ?? message);
}

/** The exit status of a run with several results, given each one's. */
export function worstExit(exits: Iterable<number>): number {
  const present = new Set(exits);
  return EXIT_RANK.find((exit) => present.has(exit)) ?? 0;
}

interface KnownSystemError {
  readonly code: FerryErrorCode;
  readonly message: string;
  readonly hint: string;
}

function systemError(code: string | undefined): KnownSystemError | undefined {
  switch (code) {
    case 'ENOENT':
      return { code: 'not-found', message: 'no such file or directory', hint: 'Check the path.' };
    case 'EISDIR':
      return { code: 'usage', message: 'is a directory, not a file', hint: 'Name a file.' };
    case 'EACCES':
    case 'EPERM':
      return { code: 'not-writable', message: 'permission denied', hint: 'Check the owner and mode of the path.' };
    case 'EROFS':
      return { code: 'not-writable', message: 'read-only file system', hint: 'Choose a target that can be written.' };
    case 'ENOSPC':
    case 'EDQUOT':
      return { code: 'no-space', message: 'no space left on the device', hint: 'Free some space, or choose another target.' };
    case 'EMFILE':
      return { code: 'failed', message: 'too many open files', hint: 'Raise the limit (ulimit -n).' };
    default:
      return undefined;
  }
}
