import type { Progress } from '../model/run.js';
import { formatBytes, formatCount } from './format.js';
import { say, type Terminal } from './terminal.js';

const FIRST_SHOWN = 1_000;
const REDRAW = 100;
const LINE_EVERY = 5_000;
const BAR = 24;
const SHORTEST_BAR = 6;
const TELLING_RATE = 500;
/** Before so much of it is done, and so long ago begun, nobody can tell when it ends. */
const TELLING_PART = 0.02;
const TELLING_TIME = 2_000;
const LONGEST_TOLD_SECONDS = 24 * 3_600;

/**
 * Shows how far a run has come: a bar that redraws itself on a terminal, a line now and then
 * elsewhere. Nothing is shown of what takes less than a second.
 */
export class ProgressDisplay {
  readonly #terminal: Terminal;
  readonly #enabled: boolean;
  #last: Progress | undefined;
  /** When phases of this name began, and when the one did that is counted now. */
  #begun = 0;
  #started = 0;
  #lastShown = Number.NEGATIVE_INFINITY;
  #drawn = false;
  #later: NodeJS.Timeout | undefined;

  constructor(terminal: Terminal, enabled: boolean) {
    this.#terminal = terminal;
    this.#enabled = enabled;
  }

  update(progress: Progress): void {
    if (!this.#enabled) return;
    const now = performance.now();
    if (progress.phase !== this.#last?.phase) this.#begin(progress, now);
    // Two phases may have one name, one archive after the other say; what is counted only grows.
    else if (progress.records < this.#last.records || progress.bytes < this.#last.bytes) this.#started = now;
    this.#last = progress;
    if (now - this.#begun < FIRST_SHOWN || now - this.#lastShown < (this.#isBar ? REDRAW : LINE_EVERY)) return;
    this.#show(progress, now);
  }

  /** Removes the bar, so that something else can be written. */
  clear(): void {
    clearTimeout(this.#later);
    if (this.#drawn) this.#terminal.stderr.write('\r\x1b[K');
    this.#drawn = false;
  }

  get #isBar(): boolean {
    return this.#terminal.stderr.isTTY === true && this.#terminal.logFormat !== 'json';
  }

  #begin(progress: Progress, now: number): void {
    const follows = this.#drawn;
    this.clear();
    this.#begun = now;
    this.#started = now;
    this.#lastShown = Number.NEGATIVE_INFINITY;
    // Of what has nothing to count no other word will come.
    if (isMute(progress)) this.#later = setTimeout(() => this.#show(progress, performance.now()), follows ? 0 : FIRST_SHOWN).unref();
  }

  #show(progress: Progress, now: number): void {
    this.#lastShown = now;
    const width = this.#isBar ? (this.#terminal.stderr.columns ?? 80) - 1 : undefined;
    const text = describe(progress, now - this.#started, width);
    if (width === undefined) {
      say(this.#terminal, text, { level: 'info', event: 'progress', message: text, ...progress });
      return;
    }
    this.#drawn = true;
    this.#terminal.stderr.write(`\r\x1b[K${text.slice(0, width)}`);
  }
}

function isMute({ records, bytes, totalBytes, totalRecords, behind }: Progress): boolean {
  return records === 0 && bytes === 0 && behind === undefined && totalBytes === undefined && totalRecords === undefined;
}

/**
 * Progress in words.
 *
 * @param elapsed milliseconds since the phase began
 * @param width columns there are for it and a bar; undefined where no bar is wanted
 */
export function describe(progress: Progress, elapsed: number, width?: number): string {
  const { phase, records, bytes, behind } = progress;
  if (isMute(progress)) return phase;
  if (behind !== undefined) return `${phase}  ${formatCount(records)} changes, ${formatBytes(bytes)}; ${formatCount(behind)} behind`;
  const rate = elapsed < TELLING_RATE ? '' : `, ${formatBytes((bytes / elapsed) * 1000)}/s`;
  const done = fraction(progress);
  const counted = `${formatCount(records)} records, ${formatBytes(bytes)}`;
  if (done === undefined) return `${phase}  ${counted}${rate}`;
  const percent = `${Math.floor(done * 100)}%  `;
  const end = `${rate}${remaining(done, elapsed)}`;
  const room = (width ?? Number.POSITIVE_INFINITY) - phase.length - 2;
  const [full, short] = [`${percent}${counted}${end}`, `${percent}${formatCount(records)} records${end}`];
  const words = full.length <= room ? full : short;
  return `${phase}  ${width === undefined ? '' : bar(done, room - words.length - 1)}${words}`;
}

/** A bar and a blank, as wide as there is room; nothing where it would say nothing. */
function bar(done: number, room: number): string {
  const length = Math.min(BAR, room);
  if (length < SHORTEST_BAR) return '';
  const full = Math.round(done * length);
  return `${'█'.repeat(full)}${'░'.repeat(length - full)} `;
}

/** `, 4 min 05 s left`, once it can be known and is not beyond a day. */
function remaining(done: number, elapsed: number): string {
  if (done < TELLING_PART || done >= 1 || elapsed < TELLING_TIME) return '';
  const seconds = Math.max(1, Math.round((elapsed / done) * (1 - done) * 1e-3));
  if (seconds > LONGEST_TOLD_SECONDS) return '';
  const [hours, minutes] = [Math.floor(seconds / 3_600), Math.floor(seconds / 60) % 60];
  const two = (number: number): string => String(number).padStart(2, '0');
  if (hours > 0) return `, ${hours} h ${two(minutes)} min left`;
  return minutes > 0 ? `, ${minutes} min ${two(seconds % 60)} s left` : `, ${seconds} s left`;
}

function fraction(progress: Progress): number | undefined {
  const { records, bytes, totalRecords, totalBytes } = progress;
  if (totalBytes !== undefined && totalBytes > 0) return Math.min(1, bytes / totalBytes);
  if (totalRecords !== undefined && totalRecords > 0) return Math.min(1, records / totalRecords);
  return undefined;
}
