import { type ComparisonCounts, compareSources, type Difference } from '../compare/compare.js';
import type { ChangedPart } from '../compare/parts.js';
import type { Encryption } from '../kubernetes/encryption/encryption.js';
import type { unknownKinds } from '../kubernetes/select.js';
import { openPair, type Pair } from '../locations/pair.js';
import type { SourceRequest } from '../locations/source.js';
import { batchBytes, batchOf, type RecordBatch } from '../model/batch.js';
import { type Note, NoteBook } from '../model/note.js';
import type { RunContext } from '../model/run.js';
import type { Api, Source, SourceInfo } from '../model/source.js';
import { type Entry, entriesOf } from './entries.js';
import { refuseImpossible, requireCompared } from './nothing-selected.js';
import { sharedSources } from './shared-sources.js';

/** What counts as a difference, beside keys and values. */
export interface DiffOptions {
  /** Create and mod revision, and version (v2: created and modified index). */
  readonly revisions?: boolean;
  /** The lease a key is attached to (v2: whether a node expires). */
  readonly leases?: boolean;
  /** What a Kubernetes cluster writes into its objects by itself does not count. */
  readonly ignoreNoise?: boolean;
  /** Opens what Kubernetes encrypted: then it is what was sealed that is compared. */
  readonly encryption?: Encryption;
}

/** One key that differs. `left` is missing where it was added, `right` where it was removed. */
export interface DiffEntry {
  readonly api: Api;
  readonly kind: Difference['kind'];
  readonly key: Buffer;
  readonly left: Entry | undefined;
  readonly right: Entry | undefined;
  /** Of a changed key: what differs, never empty. */
  readonly parts: readonly ChangedPart[];
}

export interface DiffCounts extends ComparisonCounts {
  /** Of the equal ones: those whose bytes differ, but not in anything that counts. */
  readonly alike: number;
}

/** What is known when the last key has been compared. */
export interface DiffEnd {
  readonly left: SourceInfo;
  readonly right: SourceInfo;
  readonly counts: DiffCounts;
  readonly differ: boolean;
  readonly notes: readonly Note[];
}

/**
 * Compares two sources key by key and hands every difference to `each`, in their order. Memory is
 * bounded whatever their size: both are read side by side.
 *
 * @throws FerryError `usage` for two sources that cannot be compared, and as the sources do
 */
export async function diff(
  requests: Pair<SourceRequest>,
  options: DiffOptions,
  each: (entry: DiffEntry) => void | Promise<void>,
  run: RunContext,
): Promise<DiffEnd> {
  const seenKinds = new Set<string>();
  const watched = (request: SourceRequest): SourceRequest =>
    request.objects === undefined ? request : { ...request, objects: { ...request.objects, seenKinds } };
  refuseImpossible(requests.left);
  const { left, right } = await openPair({ left: watched(requests.left), right: watched(requests.right) }, run);
  try {
    const end = await diffSources(left, right, options, each, run);
    const { objects } = requests.left;
    if (objects !== undefined) await warnOfUnknownKinds({ ...objects, seenKinds }, run);
    await requireCompared({ left, right }, requests.left, end.counts);
    return end;
  } finally {
    await Promise.all([left.close(), right.close()]);
  }
}

/** Says it where a kind that was asked for is one that nobody knows. */
export async function warnOfUnknownKinds(selection: Parameters<typeof unknownKinds>[0], run: RunContext): Promise<void> {
  // Loaded when needed: what knows Kubernetes' kinds takes its time.
  const { unknownKinds: unknown } = await import('../kubernetes/select.js');
  for (const kind of unknown(selection)) run.warn(`no record is of kind ${kind}`);
}

/**
 * Compares two open sources of one api and order, as `diff` does; they stay open.
 *
 * @throws FerryError as the sources do
 */
export async function diffSources(
  left: Source,
  right: Source,
  options: DiffOptions,
  each: (entry: DiffEntry) => void | Promise<void>,
  run: RunContext,
): Promise<DiffEnd> {
  const { api } = left.info;
  const { revisions = false, leases = false } = options;
  const names = [left.info.location, right.info.location] as const;
  const shared = await sharedSources(left, right);
  const comparison = compareSources(watched(shared.left(), left.info, run), shared.right(), { api, revisions, leases, names });
  const isAlike = await alikeTest(options);
  let alike = 0;
  for await (const difference of comparison) {
    run.signal.throwIfAborted();
    const entry = await weighed(toEntry(difference, left.info), isAlike);
    if (entry === undefined) alike++;
    else await each(entry);
  }
  const { equal, added, removed, changed } = comparison.counts;
  const counts = { equal: equal + alike, added, removed, changed: changed - alike, alike };
  const differ = counts.added + counts.removed + counts.changed > 0;
  return { left: left.info, right: right.info, counts, differ, notes: [...notesOf([left, right]), ...shared.notes.list()] };
}

type AlikeTest = (key: Buffer, left: Buffer, right: Buffer) => Promise<boolean>;

/** What knows Kubernetes' values is loaded only where they are looked into. */
async function alikeTest({ ignoreNoise = false, encryption }: DiffOptions): Promise<AlikeTest | undefined> {
  if (!ignoreNoise && encryption === undefined) return undefined;
  const { sayTheSame } = await import('./readable-value.js');
  return (key, left, right) => sayTheSame(key, left, right, { ignoreNoise, encryption });
}

/** @returns undefined when nothing of what differs counts */
async function weighed(entry: DiffEntry, isAlike: AlikeTest | undefined): Promise<DiffEntry | undefined> {
  const { left, right } = entry;
  if (isAlike === undefined || left === undefined || right === undefined || !entry.parts.includes('value')) return entry;
  if (!(await isAlike(entry.key, left.value, right.value))) return entry;
  const parts = entry.parts.filter((part) => part !== 'value');
  return parts.length === 0 ? undefined : { ...entry, parts };
}

function toEntry(difference: Difference, info: SourceInfo): DiffEntry {
  const { kind, key } = difference;
  const decoded = (record: Buffer): Entry | undefined =>
    entriesOf(batchOf([record]), info)
      [Symbol.iterator]()
      .next().value;
  return {
    api: info.api,
    kind,
    key,
    left: difference.kind === 'added' ? undefined : decoded(difference.left),
    right: difference.kind === 'removed' ? undefined : decoded(difference.right),
    parts: difference.kind === 'changed' ? difference.parts : [],
  };
}

/** The left side's records, telling how far they have come. */
async function* watched(
  batches: AsyncIterable<RecordBatch>,
  { estimatedRecords }: SourceInfo,
  run: RunContext,
): AsyncGenerator<RecordBatch> {
  let [records, bytes] = [0, 0];
  for await (const batch of batches) {
    run.signal.throwIfAborted();
    yield batch;
    records += batch.count;
    bytes += batchBytes(batch);
    run.progress({ phase: 'comparing', records, bytes, ...(estimatedRecords === undefined ? {} : { totalRecords: estimatedRecords }) });
  }
}

function notesOf(sources: readonly Source[]): Note[] {
  const notes = new NoteBook();
  for (const source of sources) notes.merge(source.notes.list());
  return notes.list();
}
