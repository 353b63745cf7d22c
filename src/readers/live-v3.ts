import type { ClusterAbout, V3Cluster } from '../cluster/v3.js';
import { reasonOf } from '../cluster/v3-errors.js';
import { FerryError } from '../errors.js';
import type { RecordBatch } from '../model/batch.js';
import { NoteBook } from '../model/note.js';
import type { RunContext } from '../model/run.js';
import type { KeySelection, Source, SourceInfo } from '../model/source.js';
import { decodeRangeResponse } from '../wire/rpc.js';
import { encodeRange } from '../wire/rpc-request.js';
import { LeaseBook } from './live-v3-leases.js';
import { withinStored } from './live-v3-limit.js';
import { keysNear } from './live-v3-near.js';
import { type PageOptions, PageReader } from './live-v3-pages.js';
import { type KeyRange, rangesOf } from './live-v3-ranges.js';
import { staleNote } from './live-v3-stale.js';

export interface LiveV3Options {
  readonly cluster: V3Cluster;
  readonly selection: KeySelection;
  /** The revision to read at; the newest unless given. */
  readonly revision?: bigint;
  /** Most bytes to read in a second, over all requests together. */
  readonly limitRate?: number;
  /** How pages are asked for; for tests and measurements. */
  readonly pages?: Partial<PageOptions>;
}

/** Above this number of ranges their keys are not counted beforehand. */
const MOST_COUNTED = 32;

/**
 * Reads a live v3 cluster by ranges, all at one revision: the one given, or that of the first answer.
 * Only the keys selected are read, so only they need permission. Memory does not grow with the size:
 * two answers in flight and 24 MiB of pages that wait for those before them. 1,000,000 keys (914 MiB)
 * peaked at 165 MB of resident memory, Node and libraries included.
 *
 * `records()` may be called once. When the revision is compacted away meanwhile it throws `compacted`;
 * a new source can then be opened over the same cluster. `close()` ends the reading and leaves the
 * cluster to its owner.
 *
 * @throws FerryError `compacted` or `future-revision` for a revision that cannot be read, and as
 *   V3Cluster does
 */
export async function openLiveV3(options: LiveV3Options, run: RunContext): Promise<Source> {
  const { cluster, selection } = options;
  const ending = new AbortController();
  const signal = AbortSignal.any([run.signal, ending.signal]);
  const notes = new NoteBook();
  const ranges = rangesOf(selection);
  const settings = { signal, limitRate: options.limitRate, pages: options.pages };
  const again = (): AsyncIterable<RecordBatch> =>
    withinStored(new PageReader(cluster, ranges, info.revision, settings).pages(), cluster, about);
  const leases = new LeaseBook(cluster, notes, again);
  await leases.list();
  const startedAt = Date.now();
  const reader = new PageReader(cluster, ranges, options.revision ?? 0n, settings);
  const first = await reader.first();
  const about = { ...(await cluster.about()), ...first?.header };
  const pinned = options.revision ?? about.revision ?? 0n;
  await leases.list();
  const info: SourceInfo = {
    ...{ kind: 'live', api: 'v3', order: 'key', location: cluster.location },
    ...{ revision: pinned, ...idsOf(about), startedAt, selection, isSelectionKnown: true },
    ...(await estimate(cluster, ranges, pinned, first?.count ?? 0n)),
    ...(cluster.doubt === undefined ? {} : { lastingNotes: [staleNote(cluster.doubt, cluster.location)] }),
  };
  notes.merge(info.lastingNotes ?? []);
  return {
    info,
    notes,
    leases: () => leases.read(signal),
    auth: async () => {
      const data = await cluster.authData();
      if (data === undefined) notes.add('auth-not-read', 'users and roles were left out: the server does not list them for this user');
      return data;
    },
    records: () => records(soundToTheEnd(withinStored(reader.pages(), cluster, about), cluster), leases, pinned, signal),
    keysNear: (prefixes) => keysNear(cluster, pinned, prefixes),
    close: async () => ending.abort(new FerryError('failed', 'the source was closed')),
  };
}

async function* records(
  pages: AsyncIterable<RecordBatch>,
  leases: LeaseBook,
  revision: bigint,
  signal: AbortSignal,
): AsyncGenerator<RecordBatch> {
  try {
    for await (const page of pages) {
      leases.check(page);
      yield page;
    }
  } catch (thrown) {
    signal.throwIfAborted();
    if (!(thrown instanceof FerryError) || thrown.code !== 'compacted') throw thrown;
    throw new FerryError('compacted', `revision ${revision} was compacted away while it was read`, {
      hint: 'Read again at a newer revision, or with --via snapshot, which no compaction disturbs.',
      cause: thrown.cause,
    });
  }
}

/** A member that turns out to be corrupt while it is read has given nobody knows what. */
async function* soundToTheEnd(pages: AsyncIterable<RecordBatch>, cluster: V3Cluster): AsyncGenerator<RecordBatch> {
  yield* pages;
  try {
    await cluster.status();
  } catch (thrown) {
    const reason = reasonOf(thrown);
    if (reason !== 'permission-denied' && reason !== 'not-supported') throw thrown;
  }
}

function idsOf({ clusterId, memberId, version }: ClusterAbout): Partial<SourceInfo> {
  return {
    ...(clusterId === undefined ? {} : { clusterId }),
    ...(memberId === undefined ? {} : { memberId }),
    ...(version === undefined ? {} : { serverVersion: version }),
  };
}

/** Number of records, from the counts of all ranges; the first range's is known already. */
async function estimate(
  cluster: V3Cluster,
  ranges: readonly KeyRange[],
  revision: bigint,
  first: bigint,
): Promise<{ estimatedRecords?: number }> {
  if (ranges.length > MOST_COUNTED) return {};
  let total = first;
  for (const { start: key, end: rangeEnd = Buffer.from([0]) } of ranges.slice(1)) {
    const answer = await cluster.call('KV/Range', encodeRange({ key, rangeEnd, revision, countOnly: true }));
    total += decodeRangeResponse(answer).count;
  }
  return { estimatedRecords: Number(total) };
}
