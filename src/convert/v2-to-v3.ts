import { FerryError } from '../errors.js';
import { batchOf, type RecordBatch } from '../model/batch.js';
import type { Lease } from '../model/lease.js';
import { type Note, NoteBook } from '../model/note.js';
import { EVERYTHING, type KeySelection, type Source, type SourceInfo } from '../model/source.js';
import { isHidden } from '../model/tree-path.js';
import { isSelected, selectsAll } from '../selection/select.js';
import { encodeKeyValue } from '../wire/keyvalue.js';
import { type KeyMapping, mappedSelection, SAME_KEYS } from './key-mapping.js';
import { showKey } from './key-text.js';
import { TreeCounter, type TreeCounts } from './v2-counts.js';
import { EmptyDirectories } from './v2-empty.js';
import type { FingerprintTaker } from './v2-fingerprint.js';
import { spokenFor } from './v2-spoken-for.js';
import { EXACT_TTL, ExpirationLeases, type TtlRule } from './v2-ttl.js';
import { type PlacedNode, walkNodes } from './v2-walk.js';

const MARKER_END = Buffer.from('/');
const NOTHING = Buffer.alloc(0);

export interface ConvertTreeOptions {
  /** How paths become keys; byte for byte unless given. */
  readonly mapping?: KeyMapping;
  /** Prefixes of paths wanted, by their names in the source. */
  readonly selection?: KeySelection;
  /** What becomes of expirations; `exact` unless given. */
  readonly ttl?: TtlRule;
  /**
   * What becomes of empty directories: nothing, or a key of their path and a slash, without a value.
   * They are dropped unless given, and then told of as something lost.
   */
  readonly emptyDirs?: 'drop' | 'marker';
  /** What becomes of hidden nodes (a part of their path begins with `_`); kept unless given. */
  readonly hidden?: 'keep' | 'drop';
  /** The user means expired nodes to be left behind: they are nothing lost. */
  readonly dropExpired?: boolean;
  /** Hidden nodes that were asked for, and found not to be there before the source was read. */
  readonly hiddenMissing?: readonly Buffer[];
  /** Takes the fingerprint of what the tree becomes. */
  readonly fingerprint?: FingerprintTaker;
  /** The clock, in milliseconds since the Unix epoch: what has expired by then is left out. */
  readonly now?: () => number;
}

/** A v2 tree as v3 records. */
export interface ConvertedTree extends Source {
  /** The tree in numbers; whole once it was read. */
  readonly counts: TreeCounts;
}

/**
 * A v2 tree as v3 records. Every file becomes a key by its path; its createdIndex, modifiedIndex
 * and 1 stand for create revision, mod revision and version, as `etcdctl migrate` of etcd 3.4 has
 * it. An expiration, its own or that of a directory above it, becomes a lease. Directories vanish;
 * empty ones and what has expired are left out, counted and named.
 *
 * The tree is read once here, for the leases, the counts and the notes, and once more for the
 * records; one number is held per lease.
 *
 * @param source a v2 tree that can be read more than once; closed with the source returned
 * @returns v3 records, still in the order of the tree (`/a/b` before `/a-b`, which bytes have the
 *   other way round, and as mapped): `info.order` is `tree`, and who needs another must sort
 * @throws FerryError `usage` when the source is no tree, or the mapping cannot take a path
 */
export async function convertTree(source: Source, options: ConvertTreeOptions = {}): Promise<ConvertedTree> {
  refuseOthers(source);
  const conversion = new TreeConversion(options, source);
  await conversion.survey(source.records());
  const { notes, counts } = conversion;
  notes.merge(notesOf(source, options));
  return {
    info: { ...infoOf(source, options), estimatedRecords: counts.keys },
    notes,
    counts,
    leases: () => conversion.leases(),
    ...clockOf(source),
    auth: () => source.auth(),
    speaksFor: spokenFor(source, options),
    records: () => conversion.records(source.records()),
    close: () => source.close(),
  };
}

/**
 * The same of a tree that is read once only, so leases are told of one by one (`leaseOf`). Notes,
 * counts and `leases()` are whole once `records()`, to be called once, has ended.
 */
export function convertStream(source: Source, options: ConvertTreeOptions = {}): ConvertedTree {
  refuseOthers(source);
  const conversion = new TreeConversion(options, source);
  return {
    info: infoOf(source, options),
    notes: conversion.notes,
    get counts() {
      return conversion.counts;
    },
    leases: () => conversion.leases(),
    leaseOf: (id) => conversion.leaseOf(id),
    ...clockOf(source),
    auth: () => source.auth(),
    speaksFor: spokenFor(source, options),
    records: async function* () {
      yield* conversion.surveyedRecords(source.records());
      conversion.notes.merge(notesOf(source, options));
    },
    close: () => source.close(),
  };
}

/** Who wants no hidden nodes loses nothing with those that were not read. */
function notesOf({ notes }: Source, { hidden }: ConvertTreeOptions): Note[] {
  return notes.list().map((note) => (hidden === 'drop' && note.code === 'hidden-node-left-out' ? { ...note, lossy: false } : note));
}

function clockOf({ clockOffset }: Source): Pick<Source, 'clockOffset'> {
  return clockOffset === undefined ? {} : { clockOffset };
}

/** What was proven of nodes says nothing of keys: two may become one. */
function infoOf({ info: { largestRecord: _, ...info } }: Source, { mapping = SAME_KEYS }: ConvertTreeOptions): SourceInfo {
  return { ...info, api: 'v3', order: 'tree', selection: mappedSelection(info.selection, mapping) };
}

function refuseOthers({ info: { api, order } }: Source): void {
  if (api !== 'v2' || order !== 'tree') throw new FerryError('usage', `only a v2 tree can be converted, found ${api} in ${order} order`);
}

/** Whether nodes are looked at, for notes, counts and leases; become records; or both. */
type Purpose = 'survey' | 'records' | 'both';

/** A node, or an empty directory, that becomes a key. */
interface Kept {
  readonly placed: PlacedNode;
  readonly marker: boolean;
}

class TreeConversion {
  readonly notes: NoteBook = new NoteBook();
  readonly #counter = new TreeCounter();
  readonly #o: ConvertTreeOptions;
  readonly #mapping: KeyMapping;
  /** What was asked for, and what the source was taken with: it may bring directories along for their TTLs. */
  readonly #selections: readonly KeySelection[];
  readonly #leases: ExpirationLeases;
  readonly #source: Source;
  readonly #clock: () => number;
  #nowMs: number;

  constructor(options: ConvertTreeOptions, source: Source) {
    const { mapping = SAME_KEYS, selection = EVERYTHING, now = Date.now, ttl = EXACT_TTL } = options;
    this.#o = options;
    this.#mapping = mapping;
    this.#selections = [selection, source.info.selection].filter((each) => !selectsAll(each));
    this.#source = source;
    this.#clock = now;
    this.#nowMs = Math.trunc(now());
    this.#leases = new ExpirationLeases(ttl, this.#nowMs);
  }

  get counts(): TreeCounts {
    const { counts, prefixes, mapped } = this.#counter;
    return { ...counts, leases: this.#leases.count, prefixes, mapped };
  }

  /** Looks at every node once: which leases there will be, and what is lost. */
  async survey(batches: AsyncIterable<RecordBatch>): Promise<void> {
    for await (const _ of this.#walk(batches, 'survey'));
  }

  records(batches: AsyncIterable<RecordBatch>): AsyncGenerator<RecordBatch> {
    return this.#walk(batches, 'records');
  }

  /** What `survey` and `records` do, in one go; what expires on the way is left out. */
  surveyedRecords(batches: AsyncIterable<RecordBatch>): AsyncGenerator<RecordBatch> {
    return this.#walk(batches, 'both');
  }

  async *leases(): AsyncGenerator<readonly Lease[]> {
    const leases = this.#leases.list();
    if (leases.length > 0) yield leases;
  }

  leaseOf(id: bigint): Lease | undefined {
    return this.#leases.leaseOf(id);
  }

  async *#walk(batches: AsyncIterable<RecordBatch>, purpose: Purpose): AsyncGenerator<RecordBatch> {
    const empty = new EmptyDirectories();
    for await (const placed of walkNodes(batches)) {
      if (purpose === 'both') this.#nowMs = Math.trunc(this.#clock());
      const records: Buffer[] = [];
      for (const each of placed) {
        this.#endEmpty(empty.upTo(each.node.path), purpose, records);
        if (!(purpose === 'records' ? this.#stays(each) : this.#survey(each))) continue;
        if (each.node.dir) {
          empty.enter(each);
          continue;
        }
        empty.holds();
        if (purpose !== 'survey') records.push(this.#convert({ placed: each, marker: false }));
      }
      if (records.length > 0) yield batchOf(records);
    }
    const rest: Buffer[] = [];
    this.#endEmpty(empty.rest(), purpose, rest);
    if (rest.length > 0) yield batchOf(rest);
  }

  /** Sees to directories that were found to be empty. */
  #endEmpty(directories: readonly PlacedNode[], purpose: Purpose, records: Buffer[]): void {
    for (const placed of directories) {
      if (purpose !== 'records') this.#surveyEmpty(placed);
      if (purpose !== 'survey' && this.#o.emptyDirs === 'marker') records.push(this.#convert({ placed, marker: true }));
    }
  }

  /** @returns whether the node is wanted and lives */
  #survey(each: PlacedNode): boolean {
    const { node, expiration } = each;
    if (!this.#isSelected(node.path)) return false;
    const hidden = isHidden(node.path);
    this.#counter.node(each, hidden);
    if (hidden && this.#o.hidden === 'drop') {
      this.#leaveOut(node.path, 'hidden-node-dropped', 'hidden nodes left out, as asked for', false);
      return false;
    }
    if (this.#isExpired(expiration)) {
      const message = 'nodes left out because they, or a directory above them, have expired';
      this.#counter.counts.expired++;
      this.#leaveOut(node.path, 'expired-node-dropped', message, this.#o.dropExpired !== true);
      return false;
    }
    if (!node.dir) this.#surveyKey({ placed: each, marker: false });
    return true;
  }

  #isSelected(path: Buffer): boolean {
    return this.#selections.every((selection) => isSelected(path, selection));
  }

  #surveyEmpty(placed: PlacedNode): void {
    const { path } = placed.node;
    this.#counter.counts.emptyDirectories++;
    this.#o.fingerprint?.emptyDirectory(path);
    if (this.#o.emptyDirs === 'marker') {
      this.#counter.counts.markers++;
      this.notes.add('empty-directory-marked', 'empty directories kept as a key that ends in a slash', { example: showKey(path) });
      this.#surveyKey({ placed, marker: true });
    } else this.#leaveOut(path, 'empty-directory', 'empty directories left out: v3 has keys only', this.#o.emptyDirs === undefined);
  }

  #leaveOut(path: Buffer, code: string, message: string, lossy: boolean): void {
    this.notes.add(code, message, { lossy, example: showKey(path) });
    this.#counter.leftOut(path);
  }

  #surveyKey(kept: Kept): void {
    const { node, expiration } = kept.placed;
    const key = this.#mapping.mapKey(nameOf(kept));
    this.#counter.key(node.path, key.length + (kept.marker ? 0 : node.value.length));
    if (!kept.marker) this.#o.fingerprint?.key(key, node.value, this.#asTold(expiration));
    const piece = this.#mapping.pieceOf(nameOf(kept)) - 1;
    if (piece >= 0) this.#counter.mapped[piece] = (this.#counter.mapped[piece] ?? 0) + 1;
    if (expiration === 0n) return;
    this.#leases.see(expiration);
    this.#counter.counts.mortalKeys++;
    const [code, message] = TTL_NOTES[(this.#o.ttl ?? EXACT_TTL).kind];
    if (code !== 'expiration-rounded' || expiration % this.#unit() !== 0n) this.notes.add(code, message, { example: showKey(node.path) });
  }

  /** By the source's own clock, whose offset another reading may find to be a little different. */
  #asTold(expiration: bigint): bigint {
    return expiration === 0n ? 0n : expiration + (this.#source.clockOffset?.() ?? 0n);
  }

  /** What expirations are rounded to, in nanoseconds. */
  #unit(): bigint {
    const { ttl = EXACT_TTL } = this.#o;
    return ttl.kind === 'exact' ? ttl.granularity * 1_000_000_000n : 1n;
  }

  #isExpired(expiration: bigint): boolean {
    return expiration !== 0n && expiration <= BigInt(this.#nowMs) * 1_000_000n;
  }

  #stays({ node, expiration }: PlacedNode): boolean {
    if (this.#isExpired(expiration) || !this.#isSelected(node.path)) return false;
    return this.#o.hidden !== 'drop' || !isHidden(node.path);
  }

  #convert(kept: Kept): Buffer {
    const { node, expiration } = kept.placed;
    return encodeKeyValue({
      key: this.#mapping.mapKey(nameOf(kept)),
      value: kept.marker ? NOTHING : node.value,
      createRevision: node.createdIndex,
      modRevision: node.modifiedIndex,
      version: 1n,
      lease: this.#leases.idOf(expiration),
    });
  }
}

/** The key before any mapping. */
function nameOf({ placed, marker }: Kept): Buffer {
  return marker ? Buffer.concat([placed.node.path, MARKER_END]) : placed.node.path;
}

/** What happened to a key's expiration, by the rule. */
const TTL_NOTES: Readonly<Record<TtlRule['kind'], readonly [code: string, message: string]>> = {
  exact: ['expiration-rounded', 'keys that expire at another fraction of a second: a lease has whole seconds'],
  'attach-lease': ['ttl-attached-lease', 'keys with a TTL that share one lease, as asked for'],
  permanent: ['ttl-made-permanent', 'keys with a TTL that never expire now, as asked for'],
};
