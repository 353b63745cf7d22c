import type { V3Cluster } from '../cluster/v3.js';
import { reasonOf } from '../cluster/v3-errors.js';
import { showKey } from '../convert/key-text.js';
import { FerryError } from '../errors.js';
import type { NoteBook } from '../model/note.js';
import { pause } from '../model/run.js';
import { decodeTxnResponse } from '../wire/rpc.js';
import { type Columns, keyAt, sizeAt, valueAt, valueLength } from './live-v3-columns.js';
import type { TargetLeases } from './live-v3-leases.js';
import type { SentRecord } from './live-v3-memory.js';
import type { ConflictRule, Tally } from './live-v3-options.js';
import { type Chunk, chunksOf, DEFAULT_MAX_OPS, encodeChunk, putBytes } from './live-v3-requests.js';
import type { TargetReader } from './live-v3-target.js';
import { ABSENT, compareWithTarget, DIFFERS, EQUAL, leaveOut, OURS, PAST } from './live-v3-verdicts.js';

/** A chunk is tried this often before the target counts as too busy, or as gone. */
const ATTEMPTS = 8;
/** Before the second attempt, in milliseconds, growing: for a cluster to come back, or a busy key to rest. */
const PAUSE_AFTER_LOSS = 250;
const PAUSE_AFTER_CHANGE = 10;
const LEASES_AT_ONCE = 16;

export interface TransactionsOptions {
  readonly cluster: V3Cluster;
  readonly target: TargetReader;
  readonly leases: TargetLeases;
  readonly tally: Tally;
  readonly notes: NoteBook;
  readonly onConflict: ConflictRule;
  readonly maxOps: number;
  readonly maxBytes: number;
  readonly signal: AbortSignal;
}

/** Writes chunks, each in a guarded transaction, and settles those that did not go through. */
export class Transactions {
  readonly #o: TransactionsOptions;
  #maxOps: number;
  #maxBytes: number;

  constructor(options: TransactionsOptions) {
    this.#o = options;
    this.#maxOps = options.maxOps;
    this.#maxBytes = options.maxBytes;
  }

  /** The records of one batch as chunks of the size the server is known to take. */
  cut(records: Chunk): Generator<Chunk> {
    return chunksOf(records, this.#maxOps, this.#maxBytes);
  }

  /**
   * Writes a chunk: when it returns, each of its keys is as it should be, or was skipped.
   *
   * Nothing is put that was not seen to be absent, or to be replaced: a transaction whose guards do
   * not hold, or whose answer was lost, is followed by a look at its keys. Those that are as they
   * should be are done, whoever wrote them, so a repeated transaction changes nothing.
   *
   * @throws FerryError `in-the-way` under the rule `fail` when a key has appeared meanwhile
   */
  async write(chunk: Chunk): Promise<void> {
    let rest = chunk;
    let last: unknown;
    for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
      const leased = await this.#withLeases(rest);
      if (leased.chunk.picked.length === 0) return;
      const failed = await this.#send(leased.chunk, leased.leases);
      if (failed === undefined) return;
      last = failed.thrown ?? last;
      if (failed.kind === 'too-large') return this.#inParts(leased.chunk, failed.thrown);
      rest = await this.#again(leased.chunk, failed);
      if (rest.picked.length === 0) return;
      if (attempt > 1) await pause(attempt * (failed.kind === 'unknown' ? PAUSE_AFTER_LOSS : PAUSE_AFTER_CHANGE), this.#o.signal);
    }
    if (last !== undefined) throw last;
    const key = showKey(keyAt(rest.columns, rest.picked[0] as number));
    throw new FerryError('failed', `key ${key} changed in the target each time it was to be written (${ATTEMPTS} times)`, {
      hint: 'Stop what writes to the target, then run it again.',
    });
  }

  /** Finds each record's lease in the target; leaves out those whose deadline has passed by now. */
  async #withLeases(chunk: Chunk): Promise<{ chunk: Chunk; leases: bigint[] }> {
    const { columns } = chunk;
    const targets = new Map<bigint, bigint | undefined>();
    for (const i of chunk.picked) if (this.#needsLease(columns, i)) targets.set(columns.leases[i] as bigint, undefined);
    if (targets.size === 0) return { chunk, leases: chunk.picked.map(() => 0n) };
    const sources = [...targets.keys()];
    for (let at = 0; at < sources.length; at += LEASES_AT_ONCE) {
      const some = sources.slice(at, at + LEASES_AT_ONCE);
      await Promise.all(some.map(async (source) => targets.set(source, await this.#o.leases.ensure(source))));
    }
    const lives = (i: number): boolean => !this.#needsLease(columns, i) || targets.get(columns.leases[i] as bigint) !== undefined;
    const picked = chunk.picked.filter(lives);
    this.#leaveOut(
      columns,
      chunk.picked.filter((i) => !lives(i)),
    );
    return { chunk: { ...chunk, picked }, leases: picked.map((i) => targets.get(columns.leases[i] as bigint) ?? 0n) };
  }

  /** Records whose lease's deadline passed while others were written. */
  #leaveOut(columns: Columns, past: readonly number[]): void {
    for (const i of past) leaveOut(columns, i, PAST, this.#o.tally, this.#o.notes);
  }

  #needsLease(columns: Columns, i: number): boolean {
    const lease = columns.leases[i] as bigint;
    return lease !== 0n && this.#o.leases.table.mayGrant(lease);
  }

  async #send(chunk: Chunk, leases: readonly bigint[]): Promise<Failed | undefined> {
    const sent = this.#o.target.memory?.sends(recordsOf(chunk));
    try {
      // Not stopped by the signal: a transaction on its way is let through, so that its outcome is known.
      const answer = decodeTxnResponse(await this.#o.cluster.call('KV/Txn', encodeChunk(chunk, leases)));
      this.#o.target.saw(answer.header.revision);
      if (!answer.succeeded) {
        sent?.failed();
        return { kind: 'not-as-seen' };
      }
      sent?.wrote(answer.header.revision);
      this.#o.tally.transactions++;
      this.#count(chunk.columns, chunk.picked, chunk.modRevisions);
      return undefined;
    } catch (thrown) {
      const kind = failedHow(thrown, chunk);
      if (kind === undefined) throw thrown;
      return { kind, thrown };
    }
  }

  /** What is left to write of a chunk that did not go through. */
  async #again(chunk: Chunk, { kind, thrown }: Failed): Promise<Chunk> {
    if (kind === 'span-refused') return { ...chunk, guard: 'keys' };
    if (kind === 'refused') {
      if (await this.#o.leases.grantOthers(new Set(chunk.picked.map((i) => chunk.columns.leases[i] as bigint)))) return chunk;
      throw thrown;
    }
    if (kind === 'lease-gone') {
      await this.#o.leases.forgetGone(new Set(chunk.picked.map((i) => chunk.columns.leases[i] as bigint)));
      return chunk;
    }
    return this.#lookAgain(chunk, kind);
  }

  async #lookAgain(chunk: Chunk, kind: Failed['kind']): Promise<Chunk> {
    const { columns, picked, modRevisions: before } = chunk;
    const { states, modRevisions } = await compareWithTarget(columns, picked, this.#o.target, this.#o.leases);
    const are = (state: number): number[] => picked.filter((i) => states[i] === state);
    // Equal after a lost answer: most likely our own work.
    if (kind === 'unknown') this.#count(columns, are(EQUAL), before);
    else this.#o.tally.equal += are(EQUAL).length;
    this.#leaveOut(columns, are(PAST));
    const differing = are(DIFFERS);
    if (differing.length > 0 && this.#o.onConflict === 'fail') throw this.appeared(columns, differing);
    if (this.#o.onConflict === 'skip') this.#o.tally.skipped += differing.length;
    const rest = picked.filter(
      (i) => states[i] === ABSENT || states[i] === OURS || (states[i] === DIFFERS && this.#o.onConflict === 'overwrite'),
    );
    return { columns, picked: rest, modRevisions, guard: 'keys' };
  }

  /** The server takes fewer operations or bytes than were sent: smaller ones from now on. */
  async #inParts(chunk: Chunk, thrown: unknown): Promise<void> {
    const { columns, picked, guard } = chunk;
    if (picked.length === 1) throw tooLarge(columns, picked[0] as number, thrown);
    if (reasonOf(thrown) === 'too-many-operations') {
      const fewer = picked.length > DEFAULT_MAX_OPS ? DEFAULT_MAX_OPS : picked.length >> 1;
      this.#maxOps = Math.min(this.#maxOps, fewer);
    } else {
      const bytes = picked.reduce((sum, i) => sum + putBytes(columns, i, guard), 0);
      this.#maxBytes = Math.min(this.#maxBytes, bytes >> 1);
    }
    for (const part of this.cut(chunk)) await this.write(part);
  }

  #count(columns: Columns, picked: readonly number[], modRevisions: BigInt64Array): void {
    const { tally } = this.#o;
    for (const i of picked) {
      tally.bytes += sizeAt(columns, i);
      if ((modRevisions[i] ?? 0n) === 0n) tally.written++;
      else tally.overwritten++;
    }
  }

  /** The error for keys that are there with another value or lease, and were not when it all began. */
  appeared(columns: Columns, differing: readonly number[]): FerryError {
    const first = showKey(keyAt(columns, differing[0] as number));
    const { written } = this.#o.tally;
    const more = differing.length === 1 ? '' : ` and ${differing.length - 1} more`;
    return new FerryError(
      'in-the-way',
      `key ${first}${more} appeared in the target while it was being written (${written} keys were written)`,
      {
        hint: 'Stop what writes to the target and run it again, or choose --on-conflict skip or overwrite.',
      },
    );
  }
}

/**
 * Why a transaction did not go through. `not-as-seen`: a guard did not hold. `unknown`: the answer
 * was lost. `span-refused`: no permission for what lies between the keys. `refused`: none for a key, or for
 * one that has the same lease.
 */
interface Failed {
  readonly kind: 'not-as-seen' | 'unknown' | 'lease-gone' | 'span-refused' | 'refused' | 'too-large';
  readonly thrown?: unknown;
}

function failedHow(thrown: unknown, chunk: Chunk): Failed['kind'] | undefined {
  switch (reasonOf(thrown)) {
    case 'too-many-operations':
    case 'request-too-large':
      return 'too-large';
    case 'lease-not-found':
      return 'lease-gone';
    case 'permission-denied':
      return chunk.guard === 'span' ? 'span-refused' : 'refused';
    default:
      return thrown instanceof FerryError && thrown.code === 'unreachable' ? 'unknown' : undefined;
  }
}

function recordsOf({ columns, picked }: Chunk): SentRecord[] {
  return picked.map((i) => ({ key: keyAt(columns, i), value: valueAt(columns, i) }));
}

/** The error for a record that the server does not take even when it is alone in a request. */
export function tooLarge(columns: Columns, i: number, cause: unknown): FerryError {
  const key = showKey(keyAt(columns, i));
  return new FerryError('failed', `key ${key} has a value of ${valueLength(columns, i)} bytes, more than the target takes in a request`, {
    hint: "Raise the target's --max-request-bytes, or leave the key out with --exclude-prefix.",
    cause,
  });
}
