import { compareSources, type Difference } from '../compare/compare.js';
import { FerryError } from '../errors.js';
import type { KeyTest } from '../kubernetes/runtime.js';
import type { SourceRequest } from '../locations/source.js';
import type { RecordBatch } from '../model/batch.js';
import type { RunContext } from '../model/run.js';
import type { Source } from '../model/source.js';
import { filterBatch } from '../selection/select.js';
import { decodeKeyValue } from '../wire/keyvalue.js';
import { againWhenCompacted } from './again.js';
import { LeaseEnds, type StrayLease } from './migration-lease-ends.js';
import { openProven } from './proven-source.js';

const DIFFERENCES_NAMED = 20;
/** A lease may end a second before its time, and etcd looks for those that have ended twice a second. */
const END_SLACK_MS = 1500;

/** How a key of the target differs from the record it was made of. */
export type ProofDifference = 'missing' | 'value' | 'lease';

/** What reading the target back has shown. */
export interface MigrationProof {
  /** Keys that the tree became. */
  readonly keys: number;
  /** Keys found as they were written: value, and lease or none. */
  readonly equal: number;
  /** Keys no longer there because their time has come meanwhile. */
  readonly expired: number;
  /** Keys with another value or lease, left as they are (`--on-conflict skip`). */
  readonly skipped: number;
  /** Keys that differ against the user's wish. */
  readonly differing: number;
  /** The first of them. */
  readonly differences: readonly { readonly key: Buffer; readonly what: ProofDifference }[];
  /** Leases that end at another time than they should: their number, and the first of them. */
  readonly strayLeases: number;
  readonly strays: readonly StrayLease[];
  /** The target's revision they were read at. */
  readonly revision: bigint;
  /** Furthest that a lease's end is from where it should be, in seconds; undefined where no lease has an end yet. */
  readonly furthestEnd?: number;
  readonly leases: number;
}

export interface ProofOptions {
  /** What was written, in key order; read once more for every attempt. */
  readonly source: Source;
  readonly target: SourceRequest;
  /** Tells the keys that were not to be written. */
  readonly leftAlone: KeyTest;
  /** Keys of the target that were found with another value and left as they are. */
  readonly skipped: number;
}

/**
 * Reads the target back, pinned to one revision, and compares it key by key with what was to be
 * written. Keys of the target that came from elsewhere are passed over.
 *
 * @throws FerryError `failed` when it is compacted again and again; as the target's reader does
 */
export async function proveMigration(options: ProofOptions, run: RunContext): Promise<MigrationProof> {
  try {
    return await againWhenCompacted(() => proveOnce(options, run), true, run);
  } catch (thrown) {
    if (!(thrown instanceof FerryError) || thrown.code !== 'compacted') throw thrown;
    throw new FerryError('failed', 'all is written, but not proven: the target was compacted again and again while it was read back', {
      hint: 'Run it again when the target is compacted less often: it writes nothing that is there, and compares.',
      cause: thrown,
    });
  }
}

async function proveOnce({ source, target, leftAlone, skipped }: ProofOptions, run: RunContext): Promise<MigrationProof> {
  const opened = await openProven(target, run);
  try {
    const told = !opened.notes.list().some(({ code }) => code === 'leases-not-listed');
    const ends = await LeaseEnds.read(source.leases(), opened.leases(), { kind: opened.info.kind, told });
    const tally = new ProofTally(ends, skipped);
    const wanted = without(source.records(), leftAlone);
    const comparison = compareSources(progressing(wanted, source, run), opened.records(), {
      api: 'v3',
      leases: true,
      names: ['source', 'target'],
    });
    for await (const difference of comparison) tally.see(difference);
    return { ...tally.finish(comparison.counts.equal), revision: opened.info.revision };
  } finally {
    await opened.close();
  }
}

async function* without(batches: AsyncIterable<RecordBatch>, leftAlone: KeyTest): AsyncGenerator<RecordBatch> {
  for await (const batch of batches) {
    const wanted = filterBatch(batch, (key) => !leftAlone(key, 0, key.length));
    if (wanted.count > 0) yield wanted;
  }
}

async function* progressing(batches: AsyncIterable<RecordBatch>, { info }: Source, run: RunContext): AsyncGenerator<RecordBatch> {
  let [records, bytes] = [0, 0];
  for await (const batch of batches) {
    run.signal.throwIfAborted();
    yield batch;
    records += batch.count;
    bytes += batch.bytes.length;
    const { estimatedRecords: totalRecords } = info;
    run.progress({ phase: 'comparing with the target', records, bytes, ...(totalRecords === undefined ? {} : { totalRecords }) });
  }
}

/** Sorts differences into those that time or the user explains, and those that nothing does. */
class ProofTally {
  readonly #ends: LeaseEnds;
  readonly #differences: { readonly key: Buffer; readonly what: ProofDifference }[] = [];
  #differing = 0;
  #expired = 0;
  #skipped = 0;
  #equal = 0;
  #skippable: number;

  constructor(ends: LeaseEnds, skippable: number) {
    this.#ends = ends;
    this.#skippable = skippable;
  }

  see(difference: Difference): void {
    if (difference.kind === 'added') return;
    const ours = decodeKeyValue(difference.left);
    if (difference.kind === 'removed') {
      if (this.#ends.isOver(ours.lease, Date.now() + END_SLACK_MS)) this.#expired++;
      else this.#differs(difference.key, 'missing');
      return;
    }
    const theirs = decodeKeyValue(difference.right);
    const onlyLease = difference.parts.every((part) => part === 'lease');
    if (onlyLease && this.#ends.standsFor(ours.lease, theirs.lease)) this.#equal++;
    else if (this.#skippable > 0) {
      this.#skippable--;
      this.#skipped++;
    } else this.#differs(difference.key, onlyLease ? 'lease' : 'value');
  }

  finish(same: number): Omit<MigrationProof, 'revision'> {
    const strays = this.#ends.strays(Date.now() + END_SLACK_MS);
    const equal = this.#equal + same;
    const { furthest, count } = this.#ends;
    return {
      keys: equal + this.#expired + this.#skipped + this.#differing,
      equal,
      expired: this.#expired,
      skipped: this.#skipped,
      differing: this.#differing,
      differences: this.#differences,
      strayLeases: strays.length,
      strays: strays.slice(0, DIFFERENCES_NAMED),
      leases: count,
      ...(furthest === undefined ? {} : { furthestEnd: furthest }),
    };
  }

  #differs(key: Buffer, what: ProofDifference): void {
    this.#differing++;
    if (this.#differences.length < DIFFERENCES_NAMED) this.#differences.push({ key: Buffer.from(key), what });
  }
}
