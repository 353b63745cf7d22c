import { encodeKeyValue } from '../wire/keyvalue.js';
import type { Comparison, DeleteOperation, PutOperation, RequestOperation, TxnOperation, V3Request } from '../wire/raft-v3.js';
import type { V3Alarms } from './v3-alarms.js';
import type { Requester, V3Auth } from './v3-auth.js';
import type { KeyState, V3Keyspace } from './v3-keyspace.js';
import type { V3Wants } from './v3-wants.js';

/** A change of the log of changes, as etcd's `key` bucket keeps it. */
export interface TailChange {
  readonly main: bigint;
  readonly sub: bigint;
  readonly tombstone: boolean;
  /** The `mvccpb.KeyValue`; of a deletion only its key. */
  readonly record: Buffer;
}

/** Seconds. */
export interface TailLease {
  readonly ttl: bigint;
  readonly remainingTtl: bigint;
}

/** The state before the tail, as far as the tail looks at it. */
export interface TailBase {
  readonly revision: bigint;
  /** Revisions below this one are compacted; 0n when none are. */
  readonly compacted: bigint;
  readonly keyspace: V3Keyspace;
  /** The wanted leases that are there. */
  readonly leases: ReadonlyMap<bigint, TailLease>;
  readonly auth: V3Auth;
  readonly alarms: V3Alarms;
}

const EMPTY: Buffer = Buffer.alloc(0);
/** Seconds; what etcd makes of a shorter one with its default election timeout (lessor.go, minLeaseTTL). */
const MIN_TTL = 2n;
/** Seconds (lessor.go, MaxLeaseTTL). */
const MAX_TTL = 9_000_000_000n;
const CHANGE_OVERHEAD = 200;

/**
 * Applies the v3 operations of a WAL's tail to the state that `member/snap/db` holds, as etcd does when it
 * starts (server/etcdserver/apply.go, server/mvcc/kvstore_txn.go, server/lease/lessor.go): what comes out is
 * what its log of changes would go on with, revision for revision. What etcd refuses changes nothing.
 */
export class V3Tail {
  readonly changes: TailChange[] = [];
  /** What became of leases; undefined for one that was revoked. */
  readonly leases = new Map<bigint, TailLease | undefined>();
  /** Set by a compaction in the tail. */
  compactRevision: bigint | undefined;
  revision: bigint;
  readonly #base: TailBase;
  readonly #wants: V3Wants;
  readonly #keys: V3Keyspace;
  /** Keys by the lease they are attached to. */
  readonly #attached = new Map<bigint, Set<string>>();
  /** Changes made by the request that is being applied. */
  #sub = 0n;

  constructor(base: TailBase, wants: V3Wants) {
    this.#base = base;
    this.#wants = wants;
    this.#keys = base.keyspace;
    this.revision = base.revision;
    for (const [key, { lease }] of base.keyspace.entries()) if (base.leases.has(lease)) this.#attach(lease, key);
  }

  apply({ operation, ...requester }: V3Request): void {
    if (this.#base.alarms.refuses(operation)) return;
    switch (operation.kind) {
      case 'put':
      case 'delete':
        if (this.#isPermitted(operation, requester) && this.#isPossible(operation)) this.#write([operation]);
        break;
      case 'txn':
        this.#txn(operation, requester);
        break;
      case 'compaction':
        this.#compact(operation.revision);
        break;
      case 'lease-grant':
        this.#grant(operation.id, operation.ttl);
        break;
      case 'lease-revoke':
        if (this.#mayUseLease(operation.id, requester)) this.#revoke(operation.id);
        break;
      case 'lease-checkpoint':
        for (const { id, remainingTtl } of operation.checkpoints) {
          const lease = this.#lease(id);
          if (lease !== undefined) this.leases.set(id, { ...lease, remainingTtl });
        }
        break;
      case 'auth':
        this.#base.auth.apply(operation, requester);
        break;
      case 'alarm':
        this.#base.alarms.apply(operation.action, operation.memberId, operation.alarm);
        break;
      default:
    }
  }

  #txn(txn: TxnOperation, requester: Requester): void {
    const reads = txn.compares.every(({ range }) => this.#base.auth.permits(requester, 'read', range));
    if (!reads || ![...txn.success, ...txn.failure].every((request) => this.#isPermitted(request, requester))) return;
    const writes = this.#writesOf(txn);
    if (writes.every((write) => this.#isPossible(write))) this.#write(writes);
  }

  /** What a transaction comes to; all comparisons, of nested ones too, are made before anything is written. */
  #writesOf(txn: TxnOperation): (PutOperation | DeleteOperation)[] {
    const writes: (PutOperation | DeleteOperation)[] = [];
    const requests = txn.compares.every((compare) => this.#holds(compare)) ? txn.success : txn.failure;
    for (const request of requests) {
      if (request.kind === 'txn') for (const write of this.#writesOf(request)) writes.push(write);
      else if (request.kind !== 'read') writes.push(request);
    }
    return writes;
  }

  #holds(compare: Comparison): boolean {
    const keys = this.#keys.range(compare.range);
    if (keys.length === 0) return compare.target !== 'value' && holdsFor(compare, undefined);
    return keys.every((key) => holdsFor(compare, this.#keys.get(key)));
  }

  /** Requests within a nested transaction are not looked at, as etcd does not. */
  #isPermitted(request: RequestOperation, requester: Requester): boolean {
    const { auth } = this.#base;
    switch (request.kind) {
      case 'put': {
        const range = { key: request.key, end: undefined };
        if (!auth.permits(requester, 'write', range) || (request.prevKv && !auth.permits(requester, 'read', range))) return false;
        return this.#mayUseLease(request.lease, requester);
      }
      case 'delete':
        return auth.permits(requester, 'write', request.range) && (!request.prevKv || auth.permits(requester, 'read', request.range));
      case 'read':
        return auth.permits(requester, 'read', request.range);
      default:
        return true;
    }
  }

  /** A lease that holds keys which the user may not write is not his to use. */
  #mayUseLease(id: bigint, requester: Requester): boolean {
    if (this.#base.auth.isAdmin(requester)) return true;
    const keys = [...(this.#attached.get(id) ?? [])];
    return keys.every((key) => this.#base.auth.permits(requester, 'write', { key: Buffer.from(key, 'latin1'), end: undefined }));
  }

  /** A put needs its lease, and the key itself when it keeps value or lease. */
  #isPossible(write: PutOperation | DeleteOperation): boolean {
    if (write.kind === 'delete') return true;
    if (write.lease !== 0n && this.#lease(write.lease) === undefined) return false;
    return !(write.ignoreValue || write.ignoreLease) || this.#keys.get(write.key.toString('latin1')) !== undefined;
  }

  /** Makes the changes of one request: they share a revision, which is only taken if there are any. */
  #write(writes: readonly (PutOperation | DeleteOperation)[]): void {
    this.#sub = 0n;
    for (const write of writes) {
      if (write.kind === 'put') this.#put(write);
      else this.#deleteAll(this.#keys.range(write.range));
    }
    if (this.#sub > 0n) this.revision++;
  }

  #put(put: PutOperation): void {
    const key = put.key.toString('latin1');
    const before = this.#keys.get(key);
    const main = this.revision + 1n;
    const value = put.ignoreValue ? (before?.value ?? EMPTY) : put.value;
    const lease = put.ignoreLease ? (before?.lease ?? 0n) : put.lease;
    const state = { createRevision: before?.createRevision ?? main, modRevision: main, version: (before?.version ?? 0n) + 1n, lease };
    this.#record(false, encodeKeyValue({ key: put.key, value, ...state }));
    this.#keys.set(key, { ...state, value: this.#wants.values.has(key) ? Buffer.from(value) : undefined });
    this.#detach(before?.lease ?? 0n, key);
    if (lease !== 0n) this.#attach(lease, key);
  }

  #deleteAll(keys: readonly string[]): void {
    for (const key of keys) {
      const lease = this.#keys.get(key)?.lease ?? 0n;
      this.#record(true, encodeKeyValue({ ...NO_FIELDS, key: Buffer.from(key, 'latin1') }));
      this.#keys.delete(key);
      this.#detach(lease, key);
    }
  }

  #record(tombstone: boolean, record: Buffer): void {
    this.#keys.reserve(CHANGE_OVERHEAD + record.length);
    this.changes.push({ main: this.revision + 1n, sub: this.#sub++, tombstone, record });
  }

  #compact(revision: bigint): void {
    if (revision <= (this.compactRevision ?? this.#base.compacted) || revision > this.revision) return;
    this.compactRevision = revision;
  }

  #grant(id: bigint, ttl: bigint): void {
    if (id === 0n || ttl > MAX_TTL || this.#lease(id) !== undefined) return;
    this.leases.set(id, { ttl: ttl < MIN_TTL ? MIN_TTL : ttl, remainingTtl: 0n });
  }

  #revoke(id: bigint): void {
    if (this.#lease(id) === undefined) return;
    this.#sub = 0n;
    this.#deleteAll([...(this.#attached.get(id) ?? [])].sort());
    if (this.#sub > 0n) this.revision++;
    this.#attached.delete(id);
    this.leases.set(id, undefined);
  }

  #lease(id: bigint): TailLease | undefined {
    return this.leases.has(id) ? this.leases.get(id) : this.#base.leases.get(id);
  }

  #attach(lease: bigint, key: string): void {
    const keys = this.#attached.get(lease);
    if (keys === undefined) this.#attached.set(lease, new Set([key]));
    else keys.add(key);
  }

  #detach(lease: bigint, key: string): void {
    this.#attached.get(lease)?.delete(key);
  }
}

const NO_FIELDS = { value: EMPTY, createRevision: 0n, modRevision: 0n, version: 0n, lease: 0n };

/** compareKV: a key that is not there has zero in every field. */
function holdsFor({ result, target, number, value }: Comparison, state: KeyState | undefined): boolean {
  const order = target === 'value' ? (state?.value ?? EMPTY).compare(value) : compareNumbers(fieldOf(target, state), number);
  switch (result) {
    case 'equal':
      return order === 0;
    case 'not-equal':
      return order !== 0;
    case 'greater':
      return order > 0;
    case 'less':
      return order < 0;
    default:
      return true;
  }
}

function fieldOf(target: Exclude<Comparison['target'], 'value'>, state: KeyState | undefined): bigint {
  switch (target) {
    case 'version':
      return state?.version ?? 0n;
    case 'create':
      return state?.createRevision ?? 0n;
    case 'mod':
      return state?.modRevision ?? 0n;
    default:
      return state?.lease ?? 0n;
  }
}

function compareNumbers(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
