import { randomBytes } from 'node:crypto';
import type { LeaseState, V3Cluster } from '../cluster/v3.js';
import { reasonOf } from '../cluster/v3-errors.js';
import { isExpirationLease } from '../convert/v2-expiration.js';
import { FerryError } from '../errors.js';
import { NoteBook } from '../model/note.js';
import { tryAgain } from './live-v3-again.js';
import type { LeaseTable } from './live-v3-lease-table.js';
import type { WriteMemory } from './live-v3-memory.js';

/**
 * The largest minimum TTL a cluster can have, in seconds: one and a half election timeouts, and
 * etcd takes none over 50 s (etcd server/embed/config.go maxElectionMs, server/etcdserver/server.go
 * minTTL).
 */
const LARGEST_MINIMUM_TTL = 75n;
/** How far apart two deadlines may be, in seconds, that were computed in different runs. */
const DEADLINE_SLACK = 3n;
const STATES_KEPT = 10_000;
/** A lease is granted before its answer is here, and two clocks do not run alike. */
const CLOCK_DRIFT_MS = 2000;
const LOOKED_UP_AT_ONCE = 32;

export interface TargetLeasesOptions {
  readonly cluster: V3Cluster;
  readonly table: LeaseTable;
  readonly dryRun: boolean;
  readonly signal: AbortSignal;
  /** Told of every lease before it is granted. */
  readonly memory?: WriteMemory | undefined;
}

/** The target's leases: which of them stand for the source's, and granting those that are missing. */
export class TargetLeases {
  readonly table: LeaseTable;
  /** What became of leases that were needed. */
  readonly notes = new NoteBook();
  /** Leases granted; in a dry run, to be granted. */
  granted = 0;
  /** Leases of the target that keys were put with. */
  reused = 0;
  readonly #cluster: V3Cluster;
  readonly #dryRun: boolean;
  readonly #signal: AbortSignal;
  readonly #memory: WriteMemory | undefined;
  readonly #states = new Map<bigint, ToldState>();
  readonly #ended = new Set<bigint>();
  readonly #pending = new Map<bigint, Promise<bigint | undefined>>();

  constructor(options: TargetLeasesOptions) {
    this.table = options.table;
    this.#cluster = options.cluster;
    this.#dryRun = options.dryRun;
    this.#signal = options.signal;
    this.#memory = options.memory;
  }

  /** Looks leases of the target up side by side, so that they are known when they are asked for one by one. */
  async lookUp(targets: Iterable<bigint>): Promise<void> {
    const unknown = [...new Set(targets)].filter((id) => !this.#states.has(id)).slice(0, STATES_KEPT);
    for (let at = 0; at < unknown.length; at += LOOKED_UP_AT_ONCE) {
      await Promise.all(unknown.slice(at, at + LOOKED_UP_AT_ONCE).map((id) => this.#state(id)));
    }
  }

  /**
   * Whether a key's lease in the target is what the source's lease should have become: the same id
   * with the TTL wanted, or another lease of that TTL, as a run leaves behind whose id was taken.
   * Such a lease is remembered and used for further keys.
   */
  async standsFor(source: bigint, target: bigint): Promise<boolean> {
    const known = this.table.target(source);
    if (known === target) return true;
    if (!this.#same(source, target, await this.#state(target))) return false;
    if (known === 0n) this.table.setTarget(source, target, 'found');
    return true;
  }

  /**
   * The target's lease to put a key with, granted now if it has to be.
   *
   * @param source the source's lease id, never 0n
   * @returns undefined when the lease's deadline has passed
   */
  async ensure(source: bigint): Promise<bigint | undefined> {
    if (this.table.isReady(source)) return this.table.target(source);
    const pending = this.#pending.get(source);
    if (pending !== undefined) return pending;
    const made = this.#make(source).finally(() => this.#pending.delete(source));
    this.#pending.set(source, made);
    return made;
  }

  /**
   * Grants leases in place of those found in the target: whoever puts a key with a lease must be allowed to
   * write all keys that it has (etcd server/etcdserver/apply/apply_auth.go checkLeasePuts).
   *
   * @returns false when none of them was found there
   */
  async grantOthers(sources: Iterable<bigint>): Promise<boolean> {
    let any = false;
    for (const source of sources) {
      const wish = this.table.wish(source);
      if (wish.kind !== 'lease' || !this.table.isReady(source) || this.table.isGranted(source)) continue;
      const other = await this.#grantOther(wish.ttl);
      this.granted++;
      const message = 'leases got a new id: the user may not put keys with every one that the target has';
      this.notes.add('lease-shared', message, { example: `${hex(source)} became ${hex(other.id)}` });
      this.table.setTarget(source, other.id, 'ready', other.ttl);
      any = true;
    }
    return any;
  }

  /** Forgets those leases that are no longer in the target, so that they are granted again. */
  async forgetGone(sources: Iterable<bigint>): Promise<void> {
    for (const source of sources) {
      const target = this.table.target(source);
      if (target === 0n || (await this.#ask(target)) !== undefined) continue;
      if (this.table.isReady(source)) this.#ended.add(source);
      this.#states.delete(target);
      this.table.setTarget(source, 0n, 'none');
    }
  }

  /**
   * The source's leases whose lease in the target has ended since keys were put with it, also where it was
   * granted again after that: with it went the keys.
   */
  async ended(): Promise<ReadonlySet<bigint>> {
    const doubtful = [...this.table.overBy(performance.now() + CLOCK_DRIFT_MS)];
    for (let at = 0; at < doubtful.length; at += LOOKED_UP_AT_ONCE) {
      const some = doubtful.slice(at, at + LOOKED_UP_AT_ONCE);
      await Promise.all(some.map(async (source) => (await this.#ask(this.table.target(source))) ?? this.#ended.add(source)));
    }
    return this.#ended;
  }

  async #make(source: bigint): Promise<bigint | undefined> {
    const found = this.table.target(source);
    if (found !== 0n) return this.#reuse(source, found);
    const wish = this.table.wish(source);
    if (wish.kind !== 'lease') return undefined;
    if (this.#dryRun) return this.#pretend(source);
    const granted = await this.#grant(source, wish.ttl);
    if (granted === undefined) return this.#reuse(source, source);
    this.granted++;
    if (granted.ttl !== wish.ttl) {
      this.notes.add('lease-ttl-raised', "leases got the cluster's shortest TTL, which is longer than theirs", {
        example: `${hex(source)}: ${wish.ttl} s became ${granted.ttl} s`,
      });
    }
    this.table.setTarget(source, granted.id, 'ready', granted.ttl);
    return granted.id;
  }

  /** Grants under the same id, or another where that is taken; undefined when the lease with the id is the one wanted. */
  async #grant(source: bigint, ttl: bigint): Promise<{ readonly id: bigint; readonly ttl: bigint } | undefined> {
    const isNew = this.#memory?.grants(source) ?? false;
    try {
      // Granted under its own id, a lease is not granted twice, so a lost answer is simply asked for again.
      return await tryAgain(() => this.#cluster.leaseGrant(source, ttl), this.#signal);
    } catch (thrown) {
      if (!(thrown instanceof FerryError) || thrown.code !== 'in-the-way') throw thrown;
    }
    if (isNew) this.#memory?.refused(source);
    this.#states.delete(source);
    if (this.#same(source, source, await this.#state(source))) return undefined;
    const other = await this.#grantOther(ttl);
    this.#noteTaken(source, hex(other.id));
    return other;
  }

  /**
   * Grants under an id of our choice, so that it can be remembered before; else one of etcd's choice: if
   * that answer is lost, a lease without keys is left behind, which ends by itself.
   */
  async #grantOther(ttl: bigint): Promise<{ readonly id: bigint; readonly ttl: bigint }> {
    const id = this.#memory === undefined ? 0n : randomBytes(8).readBigUInt64LE() >> 1n;
    if (id !== 0n) this.#memory?.grants(id);
    return tryAgain(() => this.#cluster.leaseGrant(id, ttl), this.#signal);
  }

  async #pretend(source: bigint): Promise<bigint> {
    const state = await this.#state(source);
    if (this.#same(source, source, state)) return this.#reuse(source, source);
    if (state !== undefined) this.#noteTaken(source, 'a new id');
    this.granted++;
    this.table.setTarget(source, source, 'ready');
    return source;
  }

  #reuse(source: bigint, target: bigint): bigint {
    this.reused++;
    this.table.setTarget(source, target, 'ready');
    return target;
  }

  #noteTaken(source: bigint, now: string): void {
    const message = 'leases got a new id, because the target has another lease under theirs';
    this.notes.add('lease-id-taken', message, { example: `${hex(source)} became ${now}` });
  }

  #same(source: bigint, target: bigint, state: ToldState): boolean {
    const wish = this.table.wish(source);
    if (state === undefined || wish.kind !== 'lease') return false;
    if (state === 'not-told') return source === target;
    // Such an id says when the lease ends, whatever TTL the run that granted it computed.
    if (isExpirationLease(source) && isExpirationLease(target)) return isWithin(source - target, this.table.slack);
    if (state.grantedTtl === wish.ttl) return true;
    if (this.table.rule === 'deadline' && this.#sameDeadline(source, target, state, wish.ttl)) return true;
    // A TTL below the cluster's minimum was raised to it.
    return source === target && wish.ttl < state.grantedTtl && state.grantedTtl <= LARGEST_MINIMUM_TTL;
  }

  /**
   * Both end at about the same time; or an earlier run granted, under the same id, a TTL that was
   * longer by the time that has passed since (a server that starts again begins its leases anew).
   */
  #sameDeadline(source: bigint, target: bigint, state: LeaseState, wanted: bigint): boolean {
    const apart = state.remainingTtl - wanted;
    if (apart <= DEADLINE_SLACK && apart >= -DEADLINE_SLACK) return true;
    return source === target && state.grantedTtl >= wanted && state.grantedTtl <= (this.table.lease(source)?.remainingTtl ?? 0n);
  }

  async #state(id: bigint): Promise<ToldState> {
    if (this.#states.has(id)) return this.#states.get(id);
    const state = await this.#ask(id);
    if (this.#states.size >= STATES_KEPT) this.#states.clear();
    this.#states.set(id, state);
    return state;
  }

  /** A lease that the user may not ask for is there; of one that is not, anybody is told. */
  async #ask(id: bigint): Promise<ToldState> {
    try {
      return await tryAgain(() => this.#cluster.leaseState(id), this.#signal);
    } catch (thrown) {
      if (reasonOf(thrown) !== 'permission-denied') throw thrown;
      return 'not-told';
    }
  }
}

/** What the target says of a lease: undefined where it is not there. */
type ToldState = LeaseState | 'not-told' | undefined;

function isWithin(apart: bigint, slack: bigint): boolean {
  return apart <= slack && apart >= -slack;
}

function hex(id: bigint): string {
  return BigInt.asUintN(64, id).toString(16);
}
