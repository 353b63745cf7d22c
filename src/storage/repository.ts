import { createHash } from 'node:crypto';
import { FerryError } from '../errors.js';
import type { ByteSink, ByteSource } from '../model/bytes.js';
import type { RunContext } from '../model/run.js';
import { type ArchiveName, formatArchiveName, parseArchiveName } from './archive-name.js';
import { isInFuture } from './clock.js';
import type { LockRequest } from './lock-record.js';
import { inRepository, NewArchive } from './new-archive.js';
import type { ObjectStore } from './object-store.js';
import { DEAD_AFTER, type HeldLock, hasLock, isLockFile, type LockOptions, takeLock } from './repository-lock.js';
import { encodeSummary, type ProofDepth, parseSummary, type StoredSummary } from './stored-summary.js';

const SUMMARIES = '.etcdferry/summaries';
const SUMMARY_ENDING = '.json';
/** Summaries read at once. */
const IN_FLIGHT = 8;
/** Archives that a warning names. */
const NAMED = 5;
/** Bytes read at once where all of an archive is hashed. */
const PIECE = 4 * 1024 * 1024;

/** An archive in a repository, as its name tells of it. */
export interface StoredArchive extends ArchiveName {
  /** Its file name, which is unique in the repository. */
  readonly file: string;
  /** In bytes. */
  readonly size: number;
}

/** Is told why a summary may not be read. */
export type Unreadable = (error: FerryError) => void;

/** Which of a repository's archives is meant. */
export interface ArchiveChoice {
  /** NAME; may be left out where all archives have the same. */
  readonly name?: string;
  /** The newest that is not younger, in milliseconds since the Unix epoch; else the newest that is not dated in the future. */
  readonly at?: number;
}

/**
 * A place that holds archives, and beside them in `.etcdferry/` a summary of each and the locks of
 * runs. Summaries are a convenience: what stands in the archives counts.
 */
export class Repository implements AsyncDisposable {
  readonly #store: ObjectStore;

  constructor(store: ObjectStore) {
    this.#store = store;
  }

  /** The location as the user may see it. */
  get location(): string {
    return this.#store.name;
  }

  /** An archive's own location, for messages. */
  locationOf(archive: Pick<StoredArchive, 'file'>): string {
    return `${this.location.replace(/\/+$/, '')}/${archive.file}`;
  }

  /** All archives, by NAME, the oldest of each first. Files that are no archives of ours by their name are passed over. */
  async archives(): Promise<readonly StoredArchive[]> {
    const found: StoredArchive[] = [];
    for (const { name: file, size } of await this.#store.list('')) {
      const parsed = parseArchiveName(file);
      if (parsed !== undefined) found.push({ ...parsed, file, size });
    }
    return found.sort(byNameAndTime);
  }

  /** Warns of symbolic links that would be archives by their name: who made them takes them for some. */
  async warnOfLinks(run: RunContext): Promise<void> {
    const count = (await this.#store.links()).filter((name) => parseArchiveName(name) !== undefined).length;
    if (count === 0) return;
    const links = count === 1 ? '1 symbolic link is' : `${count} symbolic links are`;
    run.warn(`${this.location}: ${links} passed over; only regular files are archives`);
  }

  /**
   * The archive that is meant. Archives dated in the future are passed over, with a warning, unless `at` reaches them.
   *
   * @throws FerryError `empty-repository` when there is none at all, `not-found` when none is of that NAME
   *   or that old, `usage` when archives have different NAMEs and none was chosen
   */
  async choose(choice: ArchiveChoice, run: RunContext): Promise<StoredArchive> {
    const all = await this.archives();
    if (all.length === 0) throw emptyRepository(this.location);
    const names = [...new Set(all.map(({ name }) => name))];
    const name = choice.name ?? (names.length === 1 ? names[0] : undefined);
    if (name === undefined) {
      throw new FerryError('usage', `${this.location} holds archives of ${names.join(', ')}`, { hint: 'Say which with --name.' });
    }
    const named = all.filter((archive) => archive.name === name);
    const { at } = choice;
    const found = at === undefined ? this.newest(named, run) : named.findLast(({ time }) => time <= at);
    if (found !== undefined) return found;
    if (named[0] === undefined) {
      throw new FerryError('not-found', `${this.location} holds no archive of ${name}`, {
        hint: `It holds archives of ${names.join(', ')}.`,
      });
    }
    const oldest = new Date(named[0].time).toISOString();
    if (at === undefined) {
      throw new FerryError('not-found', `${this.location}: every archive of ${name} is dated in the future`, {
        hint: `Is this machine's clock right? The oldest is from ${oldest}; --at takes it all the same.`,
      });
    }
    const asked = new Date(at).toISOString();
    throw new FerryError('not-found', `${this.location} holds no archive of ${name} from ${asked} or before`, {
      hint: `The oldest is from ${oldest}.`,
    });
  }

  /**
   * The newest archive that is not dated in the future; those that are are passed over, with a warning.
   *
   * @param named archives of one NAME, the oldest first
   */
  newest(named: readonly StoredArchive[], run: RunContext): StoredArchive | undefined {
    const now = Date.now();
    const ahead = named.filter(({ time }) => isInFuture(time, now));
    if (ahead.length > 0) run.warn(`${this.location}: ${futureText(ahead)} passed over; --at takes one all the same`);
    return named.findLast((archive) => !ahead.includes(archive));
  }

  /** Warns of archives that are dated in the future: whoever made them had a clock that was wrong. */
  warnOfFuture(archives: readonly StoredArchive[], run: RunContext, now: number = Date.now()): void {
    const ahead = archives.filter(({ time }) => isInFuture(time, now));
    if (ahead.length > 0) run.warn(`${this.location}: ${futureText(ahead)} not taken for the newest`);
  }

  /** What is kept beside an archive; undefined where it is missing, or of another release: it is made again by `verify`. */
  async summary(archive: StoredArchive): Promise<StoredSummary | undefined> {
    const bytes = await this.#store.get(summaryName(archive.file));
    return bytes === undefined ? undefined : parseSummary(bytes);
  }

  /**
   * The summaries of many archives, in their order; several are read at once.
   *
   * @param unreadable for those who can do without: told of a summary that may not be read, which then counts as missing
   */
  async summaries(archives: readonly StoredArchive[], unreadable?: Unreadable): Promise<readonly (StoredSummary | undefined)[]> {
    const read = (archive: StoredArchive) =>
      unreadable === undefined ? this.summary(archive) : this.summaryIfReadable(archive, unreadable);
    const found: (StoredSummary | undefined)[] = [];
    for (let i = 0; i < archives.length; i += IN_FLIGHT) {
      found.push(...(await Promise.all(archives.slice(i, i + IN_FLIGHT).map(read))));
    }
    return found;
  }

  /** As `summary`, for those who can do without: who writes a repository may let others read the archives alone. */
  async summaryIfReadable(archive: StoredArchive, unreadable: Unreadable): Promise<StoredSummary | undefined> {
    try {
      return await this.summary(archive);
    } catch (thrown) {
      const error = FerryError.from(thrown);
      if (error.code !== 'not-writable' && error.code !== 'unauthorized') throw error;
      unreadable(error);
      return undefined;
    }
  }

  /** Warns of the first summary that may not be read. */
  warnOfUnreadable(run: RunContext): Unreadable {
    let told = false;
    return ({ message }) => {
      if (!told) run.warn(`${this.location}: what is kept beside its archives cannot be read, and is left out: ${message}`);
      told = true;
    };
  }

  /** Opens an archive's stored bytes. */
  open(archive: Pick<StoredArchive, 'file'>): Promise<ByteSource> {
    return this.#store.open(archive.file);
  }

  /**
   * Starts a new archive. Its caller holds the lock of its NAME.
   *
   * @throws FerryError `in-the-way` for a name that is taken
   */
  async create(name: ArchiveName, run: RunContext): Promise<NewArchive> {
    const file = formatArchiveName(name);
    const sink: ByteSink = await this.#store.create(file).catch((thrown) => {
      throw inRepository(thrown);
    });
    const readBack = (): Promise<string> => this.sha256({ file }, run);
    return new NewArchive(file, sink, { readBack, remove: () => this.#store.delete(file) });
  }

  /**
   * SHA-256 of an archive's stored bytes, all of which are read.
   *
   * @returns in hex
   */
  async sha256(archive: Pick<StoredArchive, 'file'>, run: RunContext): Promise<string> {
    const bytes = await this.open(archive);
    try {
      const hash = createHash('sha256');
      for (let at = 0; at < bytes.size; at += PIECE) {
        run.signal.throwIfAborted();
        hash.update(await bytes.read(at, Math.min(PIECE, bytes.size - at)));
        run.progress({ phase: 'reading back', records: 0, bytes: at, totalBytes: bytes.size });
      }
      return hash.digest('hex');
    } finally {
      await bytes.close();
    }
  }

  /** Writes the summary of an archive. */
  async describe(archive: Pick<StoredArchive, 'file'>, summary: StoredSummary): Promise<void> {
    await this.#store.put(summaryName(archive.file), encodeSummary(summary));
  }

  /**
   * Keeps in an archive's summary that it has just passed.
   *
   * @param summary as it is to be, where it was made again; else what is stored is changed, if it is there
   */
  async markVerified(archive: StoredArchive, depth: ProofDepth, summary?: StoredSummary): Promise<void> {
    const kept = await this.summary(archive);
    const base = summary ?? kept;
    if (base === undefined) return;
    const now = Date.now();
    const verified = { ...kept?.verified, bytes: now, ...(depth === 'content' ? { content: now } : {}) };
    const { damagedAt: _, unchangedAt: __, ...rest } = base;
    await this.describe(archive, { ...rest, verified, ...(kept?.unchangedAt === undefined ? {} : { unchangedAt: kept.unchangedAt }) });
  }

  /** Keeps in an archive's summary that it was found damaged: no earlier proof counts any more. */
  async markDamaged(archive: StoredArchive): Promise<void> {
    const kept = await this.summary(archive);
    if (kept !== undefined) await this.describe(archive, { ...kept, verified: {}, damagedAt: Date.now() });
  }

  /**
   * Keeps in an archive's summary that a backup found nothing changed since, and its stored bytes as they were written.
   *
   * @param at when its source was pinned, in milliseconds since the Unix epoch; what is kept is the latest that is
   *   not in the future
   */
  async markUnchanged(archive: StoredArchive, at: number): Promise<void> {
    const kept = await this.summary(archive);
    if (kept === undefined) return;
    const before = kept.unchangedAt === undefined || isInFuture(kept.unchangedAt, Date.now()) ? at : kept.unchangedAt;
    const verified = { ...kept.verified, bytes: Date.now() };
    await this.describe(archive, { ...kept, verified, unchangedAt: Math.max(at, before) });
  }

  /** Removes an archive's summary alone. */
  async forget(archive: Pick<StoredArchive, 'file'>): Promise<void> {
    await this.#store.delete(summaryName(archive.file));
  }

  /** Removes an archive, then its summary. Its caller holds the exclusive lock. */
  async remove(archive: StoredArchive): Promise<void> {
    await this.#store.delete(archive.file);
    await this.forget(archive);
  }

  /**
   * Takes a lock, and clears away what dead runs left unfinished of what it covers.
   *
   * @throws FerryError `locked` when another run is in the way, for longer than `wait`
   */
  async lock(request: LockRequest, options: LockOptions, run: RunContext): Promise<HeldLock> {
    const lock = await takeLock(this.#store, request, options, run);
    try {
      await this.#clearUnfinished(lock);
      if (request.kind === 'exclusive') await this.#clearStraySummaries();
      return lock;
    } catch (thrown) {
      await lock[Symbol.asyncDispose]();
      throw thrown;
    }
  }

  async close(): Promise<void> {
    await this.#store.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /**
   * Whoever holds the lock of a NAME is the only one to write its archives: what else was begun of them is left over.
   * Summaries are written by others too, and locks before they are held, but in a moment: those are left over when they are
   * as old as a dead lock, and no lock of theirs is there. Nothing else that was begun is ours, however old it is.
   */
  async #clearUnfinished({ request, heldAt }: HeldLock): Promise<void> {
    const covers = (archive: ArchiveName | undefined): boolean =>
      archive !== undefined && (request.kind === 'exclusive' || request.name === archive.name);
    for (const { name, startedAt, clear } of await this.#store.unfinished()) {
      const isOld = heldAt - startedAt > DEAD_AFTER;
      if (covers(parseArchiveName(name)) || (isOld && covers(archiveOfSummary(name)))) await clear();
      else if (isOld && isLockFile(name) && !(await hasLock(this.#store, name))) await clear();
    }
  }

  async #clearStraySummaries(): Promise<void> {
    const summaries = await this.#store.list(SUMMARIES);
    const files = new Set((await this.archives()).map(({ file }) => file));
    for (const { name } of summaries) {
      const isOurs = archiveOfSummary(name) !== undefined;
      if (isOurs && !files.has(name.slice(0, -SUMMARY_ENDING.length))) await this.#store.delete(`${SUMMARIES}/${name}`);
    }
  }
}

/** What a repository without archives is told with. */
export function emptyRepository(location: string): FerryError {
  return new FerryError('empty-repository', `${location} holds no archives`, {
    hint: 'Is it the right directory or bucket? etcdferry backup --to makes archives there.',
  });
}

/** `x.etcd.tar is dated in the future and is`, for one or more archives. */
function futureText(archives: readonly StoredArchive[]): string {
  const files = archives.map(({ file }) => file);
  if (files.length === 1) return `${files[0]} is dated in the future and is`;
  const named = files.slice(0, NAMED).join(', ') + (files.length > NAMED ? ', …' : '');
  return `${files.length} archives are dated in the future (${named}) and are`;
}

function summaryName(file: string): string {
  return `${SUMMARIES}/${file}${SUMMARY_ENDING}`;
}

/** What the name of a summary's file tells of its archive; undefined for any other name. */
function archiveOfSummary(file: string): ArchiveName | undefined {
  return file.endsWith(SUMMARY_ENDING) ? parseArchiveName(file.slice(0, -SUMMARY_ENDING.length)) : undefined;
}

function byNameAndTime(a: StoredArchive, b: StoredArchive): number {
  if (a.name !== b.name) return a.name < b.name ? -1 : 1;
  return a.time - b.time || (a.revision < b.revision ? -1 : 1);
}
