import { connectV2, type V2Cluster } from '../cluster/v2.js';
import type { V2Event } from '../cluster/v2-watch.js';
import { connectV3 } from '../cluster/v3-connect.js';
import { SAME_KEYS } from '../convert/key-mapping.js';
import { directoriesAboveSelected } from '../convert/v2-select.js';
import { FerryError } from '../errors.js';
import { clusterOptions } from '../locations/connection.js';
import type { SourceRequest } from '../locations/source.js';
import type { TreeNode } from '../model/node.js';
import { NoteBook } from '../model/note.js';
import type { RunContext } from '../model/run.js';
import type { SourceInfo } from '../model/source.js';
import { Changes } from './follow-changes.js';
import { Expirations } from './follow-expirations.js';
import { Feed } from './follow-feed.js';
import { UntoldChanges } from './follow-refresh.js';
import { type Watched, watchedPaths, withSlash } from './follow-watched.js';
import { carryChanges, type FollowTarget } from './follow-write.js';
import { type MigrateOptions, type MigrateReport, migrate } from './migrate.js';
import { opened } from './migrate-memory.js';

/** Changes carried over in one go. */
const AT_ONCE = 1_000;
/** Longest wait for a change before the clock is looked at, in milliseconds. */
const TICK = 200;
/** Between two looks at the clock; if more has passed, the process stood still, or was busy. */
const MISSED = 1_000;
const LOOKS_AT_ONCE = 16;
/** Between two readings of the whole tree that are not pressing, in milliseconds. */
const REREAD_EVERY = 1_000;
/** As long between readings for changes that no event tells of: in milliseconds, and in times that the last reading took. */
const UNTOLD_REREAD_EVERY = 10_000;
const READINGS_APART = 20;
/** Nodes with a TTL that are looked at one by one when something was changed without an event, and the time each is worth, in milliseconds. */
const MOST_LOOKS = 512;
const LOOK_COST = 20;
/** How far apart two readings may find one end, in nanoseconds, where a clock's offset was corrected for. */
const CLOCK_SLACK = 2_000_000_000n;

export interface FollowOptions extends MigrateOptions {
  /** Ends the following once no change has come for so many milliseconds; without, it goes on until `ending`. */
  readonly untilIdle?: number;
  /** Aborted when the following is to end: what remains is carried over, the check made. */
  readonly ending: AbortSignal;
  /** Called once the first copy is made and changes are followed. */
  readonly onFollowing?: () => void;
}

/** What was followed, beside the report of the check that ends it. */
export interface Followed {
  /** The source's index that the first copy was read at. */
  readonly fromIndex: bigint;
  /** The index that the last reading, and the check, was made at. */
  readonly toIndex: bigint;
  /** Changes taken. */
  readonly events: number;
  readonly written: number;
  readonly deleted: number;
  /** Keys left alone because somebody else has written them. */
  readonly skipped: number;
  /** How often the whole tree was read anew. */
  readonly rereads: number;
  /** Most changes that the target was ever behind. */
  readonly largestLag: number;
  readonly seconds: number;
}

export interface FollowReport extends MigrateReport {
  readonly followed: Followed;
}

/**
 * Migrates a live v2 tree into a live v3 cluster, then carries its changes over as they come, until it
 * is told to end; then reads the tree once more, carries over what is missing, and reports of that.
 * Only keys that the migration wrote itself are changed or deleted.
 *
 * @throws FerryError as `migrate` does; `usage` for what cannot be followed
 */
export async function follow(options: FollowOptions, run: RunContext): Promise<FollowReport> {
  refuse(options);
  const expirations = new Expirations();
  const first = await migrate({ ...options, onNodes: (batch) => expirations.see(batch), proof: false }, run);
  const follower = new Follower(options, first, expirations, run);
  const followed = await follower.follow();
  const last = await follower.reread(true);
  const notes = new NoteBook();
  notes.merge(last.notes);
  notes.merge(follower.notes.list().filter(({ code }) => last.notes.every((note) => note.code !== code)));
  return { ...last, notes: notes.list(), followed: { ...followed, toIndex: last.source.revision } };
}

function refuse({ from, to, write, rules, state, toApi }: FollowOptions): void {
  const why =
    from.location.kind !== 'live' || !('live' in to) || toApi === 'v2'
      ? 'it is for a live v2 cluster and a live v3 cluster'
      : write.dryRun === true
        ? 'nothing is written in a dry run'
        : rules?.emptyDirs === 'marker'
          ? 'markers of empty directories cannot be kept up'
          : state === undefined
            ? 'it needs a state to know its keys by'
            : undefined;
  if (why !== undefined) throw new FerryError('usage', `--follow: ${why}`);
}

/** The connections that a follower holds while it follows. */
interface Lines {
  readonly source: V2Cluster;
  /** Changes of the tree, or of the directory followed, as listings show it. */
  main: Feed;
  /** Of hidden nodes and of directories watched one by one: that there are any is all that is taken of them. */
  others: Feed[];
  readonly untold: UntoldChanges;
  readonly watched: Watched;
}

class Follower {
  readonly notes = new NoteBook();
  readonly #o: FollowOptions;
  readonly #run: RunContext;
  readonly #first: MigrateReport;
  readonly #expirations: Expirations;
  readonly #changes: Changes;
  readonly #tally = { events: 0, written: 0, deleted: 0, skipped: 0, rereads: 0, largestLag: 0 };
  /** All changes up to this index of the source are carried over. */
  #applied: bigint;
  #bytes = 0;
  /** The source as it was read last. */
  #source: SourceInfo;
  #target: FollowTarget | undefined;
  /** See Source. */
  #clockOffset = (): bigint => 0n;
  #rereadWanted = false;
  #lastReread = 0;
  #rereadTook = 0;
  /** Something was changed that no event tells of, since the tree was read. */
  #hasUntold = false;
  #lookAtAll = false;
  #lastLookAtAll = 0;
  #lastEvent = Date.now();
  #lastLook = Date.now();
  #warned = false;

  constructor(options: FollowOptions, first: MigrateReport, expirations: Expirations, run: RunContext) {
    this.#o = options;
    this.#run = run;
    this.#first = first;
    this.#expirations = expirations;
    this.#source = first.source;
    this.#applied = first.source.revision;
    const { from, write } = options;
    this.#changes = new Changes(expirations, { selection: from.selection, mapping: write.mapping ?? SAME_KEYS, notes: this.notes });
  }

  /** Follows the source until it is told to end, or has been idle for long enough. */
  async follow(): Promise<Omit<Followed, 'toIndex'>> {
    const started = Date.now();
    const { from, onFollowing } = this.#o;
    const endpoints = from.location.kind === 'live' ? from.location.endpoints : [];
    const source = connectV2(await clusterOptions(endpoints, from.connection));
    this.#clockOffset = () => source.clockOffset();
    const watched = await watchedPaths(source, from, this.#run.signal);
    const untold = new UntoldChanges(source, watched.main, this.#applied);
    const lines = { source, watched, untold, ...this.#feeds(source, watched) };
    try {
      await this.#lookAbove(source);
      onFollowing?.();
      while (!this.#isOver()) await this.#step(lines);
    } finally {
      await closeFeeds(lines);
      await source.close();
      await this.#closeTarget();
    }
    return { ...this.#tally, fromIndex: this.#first.source.revision, seconds: (Date.now() - started) / 1000 };
  }

  /**
   * Reads the whole tree and carries over what the target lacks.
   *
   * @param last the reading that ends it all: its outcome is proven
   */
  async reread(last = false): Promise<MigrateReport> {
    const began = Date.now();
    await this.#closeTarget();
    this.#expirations.clear();
    this.#changes.clear();
    // A plan was for the first copy.
    const { expected: _, ...options } = this.#o;
    const { from, write } = options;
    // What somebody else has written meanwhile is for the end to tell of.
    const onConflict = write.onConflict === 'overwrite' ? 'overwrite' : 'skip';
    const { includeHidden, hiddenMissing } = await this.#lookForHidden();
    const report = await migrate(
      {
        ...options,
        hiddenMissing,
        // It was chosen well when the following began; all of it may go since.
        from: { ...withoutHidden(from), allowEmpty: true, ...(includeHidden.length === 0 ? {} : { includeHidden }) },
        write: { ...write, onConflict },
        onNodes: (batch) => this.#expirations.see(batch),
        proof: last && options.proof !== false,
        skippedDiffer: write.onConflict !== 'skip',
      },
      this.#run,
    );
    this.#source = report.source;
    this.#applied = report.source.revision;
    this.#rereadWanted = this.#hasUntold = this.#lookAtAll = false;
    this.#lastReread = Date.now();
    this.#rereadTook = this.#lastReread - began;
    if (!last) this.#tally.rereads++;
    return report;
  }

  #feeds(source: V2Cluster, { main, others }: Watched): Pick<Lines, 'main' | 'others'> {
    const feed = (path: Buffer): Feed => new Feed(source, path, this.#applied + 1n, this.#run);
    return { main: feed(withSlash(main)), others: others.map(feed) };
  }

  /** Directories above what is followed may expire, while nothing that they would come along with is there. */
  async #lookAbove(source: V2Cluster): Promise<void> {
    const paths = directoriesAboveSelected(this.#o.from.selection);
    for (const node of await this.#lookAt(source, paths)) if (node.dir && node.expiration !== 0n) this.#expirations.set(node);
  }

  #isOver(): boolean {
    this.#run.signal.throwIfAborted();
    const { ending, untilIdle } = this.#o;
    const now = Date.now();
    // Time in which nobody listened is no time in which nothing came.
    if (now - this.#lastLook > MISSED) this.#lastEvent += now - this.#lastLook;
    this.#lastLook = now;
    if (ending.aborted) return true;
    return untilIdle !== undefined && !this.#rereadWanted && now - this.#lastEvent >= untilIdle;
  }

  async #step(lines: Lines): Promise<void> {
    const { main, others, source, untold } = lines;
    for (const event of await main.take(AT_ONCE, TICK)) {
      untold.told(event.index);
      this.#take(event);
    }
    for (const feed of others) if ((await feed.take(AT_ONCE, 0)).length > 0) this.#sawChange();
    await this.#lookAgain(lines);
    this.#rereadWanted ||= this.#changes.mustReread;
    this.#tellLag(main);
    const cleared = [main, ...others].some((feed) => feed.cleared);
    if (cleared || this.#isRereadDue()) {
      if (cleared) this.#run.warn(`the source has forgotten changes after index ${this.#applied}; reading the tree anew`);
      await this.reread();
      untold.readAt(this.#applied);
      await this.#lookAbove(source);
      if (!cleared) return;
      await closeFeeds(lines);
      Object.assign(lines, this.#feeds(source, lines.watched));
      return;
    }
    await this.#carry();
    this.#tellLag(main);
  }

  #take(event: V2Event): void {
    // Of what the tree that was read last has already.
    if (event.index <= this.#applied) return;
    this.#applied = event.index;
    if (!this.#changes.add(event)) return;
    this.#tally.events++;
    this.#bytes += event.node.path.length + event.node.value.length;
    this.#lastEvent = Date.now();
  }

  #sawChange(): void {
    this.#rereadWanted = true;
    this.#lastEvent = Date.now();
  }

  async #carry(): Promise<void> {
    if (this.#changes.isEmpty) return;
    this.#target ??= await this.#openTarget();
    const { written, deleted, skipped } = await carryChanges(this.#changes, this.#target, { ...this.#run, progress: () => {} });
    this.#changes.clear();
    this.#tally.written += written;
    this.#tally.deleted += deleted;
    this.#tally.skipped += skipped;
    if (skipped > 0 && !this.#warned) {
      this.#warned = true;
      this.#run.warn('somebody else writes keys of this migration in the target; they are left alone');
    }
    await this.#target.state.tidy();
  }

  /** A reading that is not pressing is as rare as it is costly. */
  #isRereadDue(): boolean {
    const passed = Date.now() - this.#lastReread;
    if (this.#rereadWanted) return passed >= REREAD_EVERY;
    return this.#hasUntold && passed >= Math.max(UNTOLD_REREAD_EVERY, READINGS_APART * this.#rereadTook);
  }

  /** Looks at nodes that will soon be gone, and at all once something was changed without an event: it may be a TTL. */
  async #lookAgain({ source, main, untold }: Lines): Promise<void> {
    if ((this.#o.rules?.ttl?.kind ?? 'exact') !== 'exact') return;
    const now = Date.now();
    const caughtUp = main.storeIndex <= this.#applied;
    if (await untold.ask(caughtUp, now, this.#run.signal).catch(ifAnswered)) this.#hasUntold = this.#lookAtAll = true;
    const { count } = this.#expirations;
    const all = this.#lookAtAll && count <= MOST_LOOKS && now - this.#lastLookAtAll >= count * LOOK_COST;
    if (all) {
      this.#lookAtAll = false;
      this.#lastLookAtAll = now;
    }
    for (const node of await this.#lookAt(source, all ? this.#expirations.paths() : this.#expirations.dueForALook(now))) {
      if (this.#isSameEnd(node.expiration, this.#expirations.of(node.path))) continue;
      if (!node.dir) this.#changes.file(node);
      // One that was made since will be told of.
      else if (node.createdIndex <= this.#applied) this.#rereadWanted = true;
    }
  }

  /** @returns the nodes that are there; none that may not be looked at */
  async #lookAt(source: V2Cluster, paths: readonly Buffer[]): Promise<TreeNode[]> {
    const found: TreeNode[] = [];
    for (let at = 0; at < paths.length; at += LOOKS_AT_ONCE) {
      const nodes = await Promise.all(paths.slice(at, at + LOOKS_AT_ONCE).map((path) => this.#look(source, path)));
      found.push(...nodes.filter((node) => node !== undefined));
    }
    return found;
  }

  /** Two readings may find ends a little apart that a clock's offset was corrected for. */
  #isSameEnd(a: bigint, b: bigint): boolean {
    if (a === 0n || b === 0n || this.#clockOffset() === 0n) return a === b;
    return a - b < CLOCK_SLACK && b - a < CLOCK_SLACK;
  }

  /** @returns undefined also when the source does not answer: it is looked at again soon, and waited for by its feed */
  async #look(source: V2Cluster, path: Buffer): Promise<TreeNode | undefined> {
    try {
      return await source.get(path, this.#run.signal);
    } catch (thrown) {
      const error = FerryError.from(thrown);
      if (error.code === 'unreachable' || error.code === 'unauthorized') return undefined;
      throw error;
    }
  }

  #tellLag(main: Feed): void {
    const behind = Math.max(0, Number(main.storeIndex - this.#applied));
    if (behind > this.#tally.largestLag) this.#tally.largestLag = behind;
    this.#run.progress({ phase: 'following', records: this.#tally.events, bytes: this.#bytes, behind });
  }

  async #openTarget(): Promise<FollowTarget> {
    const { to, state: place, from, write } = this.#o;
    if (!('live' in to) || place === undefined) throw new FerryError('usage', '--follow: it is for a live v3 cluster, with a state');
    const cluster = await connectV3(await clusterOptions(to.live.endpoints, to.live.connection), this.#run.signal);
    try {
      const source = this.#source;
      const memory = { place, source, selection: from.selection, mapping: write.mapping ?? SAME_KEYS, dryRun: false };
      const state = await opened(memory, cluster, this.#run);
      if (state === undefined)
        throw new FerryError('usage', '--follow: without a state its own keys cannot be told', { hint: 'Name a file with --state.' });
      return { cluster, state, options: this.#o, source, clockOffset: this.#clockOffset, notes: this.notes };
    } catch (thrown) {
      await cluster.close();
      throw thrown;
    }
  }

  async #closeTarget(): Promise<void> {
    const target = this.#target;
    this.#target = undefined;
    target?.state.close();
    await target?.cluster.close();
  }

  /** Hidden nodes may go like any other, and are then no reason to fail. */
  async #lookForHidden(): Promise<{ readonly includeHidden: string[]; readonly hiddenMissing: string[] }> {
    const { includeHidden = [], location, connection } = this.#o.from;
    if (includeHidden.length === 0 || location.kind !== 'live') return { includeHidden: [], hiddenMissing: [] };
    const source = connectV2(await clusterOptions(location.endpoints, connection));
    try {
      const nodes = await Promise.all(includeHidden.map((path) => source.get(Buffer.from(path), this.#run.signal)));
      return {
        includeHidden: includeHidden.filter((_, i) => nodes[i] !== undefined),
        hiddenMissing: includeHidden.filter((_, i) => nodes[i] === undefined),
      };
    } finally {
      await source.close();
    }
  }
}

/** A source that does not answer is waited for by its feed. */
function ifAnswered(thrown: unknown): false {
  const error = FerryError.from(thrown);
  if (error.code !== 'unreachable' && error.code !== 'unauthorized') throw error;
  return false;
}

async function closeFeeds({ main, others }: Lines): Promise<void> {
  await Promise.all([main, ...others].map((feed) => feed.close()));
}

function withoutHidden({ includeHidden: _, ...from }: SourceRequest): SourceRequest {
  return from;
}
