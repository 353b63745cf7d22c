import type { Progress } from '../model/run.js';
import { formatBytes, formatCount, formatDuration } from './format.js';
import { say, type Terminal } from './terminal.js';

const FIRST_SHOWN = 1_000;
const REDRAW = 100;
const LINE_EVERY = 5_000;
const BAR = 24;

/**
 * Shows how far a run has come: a bar that redraws itself on a terminal, a line now and then
 * elsewhere. Nothing is shown of what takes less than a second.
 */
export class ProgressDisplay {
  readonly #terminal: Terminal;
  readonly #enabled: boolean;
  #phase = '';
  #started = 0;
  #lastShown = Number.NEGATIVE_INFINITY;
  #drawn = false;

  constructor(terminal: Terminal, enabled: boolean) {
    this.#terminal = terminal;
    this.#enabled = enabled;
  }

  update(progress: Progress): void {
    if (!this.#enabled) return;
    const now = performance.now();
    if (progress.phase !== this.#phase) {
      this.clear();
      this.#phase = progress.phase;
      this.#started = now;
      this.#lastShown = Number.NEGATIVE_INFINITY;
    }
    const elapsed = now - this.#started;
    const json = this.#terminal.logFormat === 'json';
    const tty = this.#terminal.stderr.isTTY === true && !json;
    if (elapsed < FIRST_SHOWN || now - this.#lastShown < (tty ? REDRAW : LINE_EVERY)) return;
    this.#lastShown = now;
    const text = describe(progress, elapsed, tty);
    if (json) {
      say(this.#terminal, text, { level: 'info', event: 'progress', message: text, ...progress });
      return;
    }
    this.#drawn = tty;
    this.#terminal.stderr.write(tty ? `\r\x1b[K${text.slice(0, (this.#terminal.stderr.columns ?? 80) - 1)}` : `${text}\n`);
  }

  /** Removes the bar, so that something else can be written. */
  clear(): void {
    if (this.#drawn) this.#terminal.stderr.write('\r\x1b[K');
    this.#drawn = false;
  }
}

function describe(progress: Progress, elapsed: number, withBar: boolean): string {
  const { phase, records, bytes, behind } = progress;
  if (behind !== undefined) return `${phase}  ${formatCount(records)} changes, ${formatBytes(bytes)}; ${formatCount(behind)} behind`;
  const rate = `${formatBytes((bytes / elapsed) * 1000)}/s`;
  const done = fraction(progress);
  const counted = `${formatCount(records)} records, ${formatBytes(bytes)}, ${rate}`;
  if (done === undefined) return `${phase}  ${counted}`;
  const remaining = `${formatDuration((elapsed / Math.max(done, 1e-6)) * (1 - done))} left`;
  const bar = `${'█'.repeat(Math.round(done * BAR))}${'░'.repeat(BAR - Math.round(done * BAR))}`;
  return `${phase}  ${withBar ? `${bar} ` : ''}${Math.floor(done * 100)}%  ${counted}, ${remaining}`;
}

function fraction(progress: Progress): number | undefined {
  const { records, bytes, totalRecords, totalBytes } = progress;
  if (totalBytes !== undefined && totalBytes > 0) return Math.min(1, bytes / totalBytes);
  if (totalRecords !== undefined && totalRecords > 0) return Math.min(1, records / totalRecords);
  return undefined;
}
