import { type ChildProcess, spawn } from 'node:child_process';
import { FerryError } from '../errors.js';

/**
 * Runs the program in the background and watches a pipe from us. When that closes, because we closed it or
 * because we are gone however that came, the program is killed and the directory it worked in removed: no
 * handler of ours would run after a SIGKILL.
 */
const GUARD = `
directory=$1; shift
exec 3<&0
"$@" </dev/null 3<&- &
child=$!
{ while read -r _ <&3; do :; done; : >"$directory/.stop"; kill -9 $child; rm -rf -- "$directory"; } >/dev/null 2>&1 &
guard=$!
wait $child
code=$?
[ -e "$directory/.stop" ] || kill -9 $guard 2>/dev/null
wait $guard 2>/dev/null
exit $code
`;
const LOG_KEPT = 16 * 1024;
const STOP_TIMEOUT = 10_000;

/** A program that does not outlive us. */
export class GuardedProcess implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #ended: Promise<number | null>;
  #log = '';
  #exit: number | null | undefined;

  /**
   * @param directory removed when the program has to be killed
   * @param env all of its environment: nothing of ours is handed on
   */
  constructor(program: string, args: readonly string[], directory: string, env: Readonly<Record<string, string>>) {
    // In a group of its own: Ctrl-C is for us, and we end it.
    this.#child = spawn('/bin/sh', ['-c', GUARD, 'guard', directory, program, ...args], {
      stdio: ['pipe', 'pipe', 'pipe'],
      env,
      cwd: directory,
      detached: true,
    });
    const keep = (chunk: Buffer): void => {
      this.#log = (this.#log + chunk.toString()).slice(-LOG_KEPT);
    };
    this.#child.stdout?.on('data', keep);
    this.#child.stderr?.on('data', keep);
    this.#child.stdin?.on('error', () => {});
    this.#ended = new Promise((resolve) => {
      const end = (code: number | null): void => {
        this.#exit = code;
        resolve(code);
      };
      this.#child.once('error', (thrown) => {
        keep(Buffer.from(thrown.message));
        end(null);
      });
      this.#child.once('exit', end);
    });
  }

  /** True when it has ended by itself. */
  get ended(): boolean {
    return this.#exit !== undefined;
  }

  /** The last line that says something, of what it printed. */
  get lastWords(): string {
    const lines = this.#log.split('\n').filter((line) => line.trim() !== '');
    return lines.findLast((line) => /panic|fatal|error/i.test(line)) ?? lines.at(-1) ?? 'it said nothing';
  }

  /** Waits for its end. @throws FerryError `failed` when it does not succeed; what the signal aborts with */
  async done(what: string, signal: AbortSignal): Promise<void> {
    const stop = (): void => {
      this.#child.stdin?.destroy();
    };
    signal.addEventListener('abort', stop, { once: true });
    try {
      const code = await this.#ended;
      signal.throwIfAborted();
      if (code !== 0) throw new FerryError('failed', `${what} failed: ${this.lastWords}`);
    } finally {
      signal.removeEventListener('abort', stop);
    }
  }

  /** Kills it, and waits until it is gone. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.stdin?.destroy();
    const deadline = setTimeout(() => this.#child.kill('SIGKILL'), STOP_TIMEOUT);
    await this.#ended;
    clearTimeout(deadline);
    this.#child.stdout?.destroy();
    this.#child.stderr?.destroy();
  }
}
