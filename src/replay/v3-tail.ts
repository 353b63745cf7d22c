import type { AuthData } from '../model/auth.js';
import { encodeKeyValue } from '../wire/keyvalue.js';
import type {
  Comparison,
  DeleteOperation,
  KeyRange,
  PutOperation,
  ReadOperation,
  RequestOperation,
  TxnOperation,
  V3Operation,
  V3Request,
} from '../wire/raft-v3.js';
import { type Alarm, V3Alarms } from './v3-alarms.js';
import { type Requester, V3Auth } from './v3-auth.js';
import type { KeyState, V3Keyspace } from './v3-keyspace.js';
import type { V3Rules } from './v3-rules.js';
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
  readonly auth: AuthData | undefined;
  readonly authRevision: bigint;
  readonly alarms: readonly Alarm[];
}

type Write = PutOperation | DeleteOperation;

/** What the taken branches of a transaction come to, in order. */
interface Path {
  readonly writes: readonly Write[];
  readonly reads: readonly ReadOperation[];
}

const EMPTY: Buffer = Buffer.alloc(0);
/** etcd's compact revision before the first compaction (kvstore.go, NewStore). */
const NEVER_COMPACTED = -1n;
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
  readonly auth: V3Auth;
  /** Requests to write, refused as made before a change of users or roles. */
  readonly outdated: V3Request[] = [];
  /** Transactions written though etcd refused them when it was asked: a read at their top fails, and is left out when they are applied again. */
  readonly refusedWhenAsked: V3Request[] = [];
  /** True where requests know of more changes of users and roles than the tail has. */
  missesAuthChanges = false;
  readonly #rules: V3Rules;
  readonly #alarms: V3Alarms;
  readonly #base: TailBase;
  readonly #wants: V3Wants;
  readonly #keys: V3Keyspace;
  /** Keys by the lease they are attached to. */
  readonly #attached = new Map<bigint, Set<string>>();
  /** Changes made by the request that is being applied. */
  #sub = 0n;
  #sawOutdated = false;

  /** @param base its keyspace is the tail's to change */
  constructor(base: TailBase, wants: V3Wants, rules: V3Rules) {
    this.#base = base;
    this.#wants = wants;
    this.#rules = rules;
    this.#keys = base.keyspace;
    this.revision = base.revision;
    this.auth = new V3Auth(base.auth, base.authRevision, rules);
    this.#alarms = new V3Alarms(base.alarms, rules);
    for (const [key, { lease }] of base.keyspace.entries()) if (base.leases.has(lease)) this.#attach(lease, key);
  }

  /** The alarms raised after the tail. */
  get alarms(): readonly Alarm[] {
    return this.#alarms.raised;
  }

  /** @returns false where the request kills etcd, each time that it applies it; then it has changed nothing */
  apply(request: V3Request): boolean {
    if (request.authRevision > this.auth.revision) this.missesAuthChanges = true;
    if (this.#alarms.refuses(request.operation)) return true;
    this.#sawOutdated = false;
    const lives = this.#apply(request);
    if (this.#sawOutdated && writes(request.operation)) this.outdated.push(request);
    return lives;
  }

  #apply(request: V3Request): boolean {
    const { operation, ...requester } = request;
    switch (operation.kind) {
      case 'put':
      case 'delete':
        return !this.#isPermitted(operation, requester) || !this.#isPossible(operation) || this.#write([operation]);
      case 'txn':
        return this.#txn(operation, request);
      case 'auth':
        return this.auth.apply(operation, requester, this.#alarms.judgesPermissions) !== 'kills-etcd';
      case 'alarm':
        return this.#alarms.apply(operation.action, operation.memberId, operation.alarm);
      case 'compaction':
        this.#compact(operation.revision);
        return true;
      case 'lease-grant':
        this.#grant(operation.id, operation.ttl);
        return true;
      case 'lease-revoke':
        if (this.#mayUseLease(operation.id, requester)) this.#revoke(operation.id);
        return true;
      case 'lease-checkpoint':
        this.#checkpoint(operation.checkpoints);
        return true;
      default:
        return true;
    }
  }

  #txn(txn: TxnOperation, request: V3Request): boolean {
    const asked = this.#isTxnPermitted(txn, request);
    const again = this.#rules.keepsReads ? txn : withoutReads(txn);
    if (again !== txn) this.#sawOutdated = false;
    if (!(again === txn ? asked : this.#isTxnPermitted(again, request))) return true;
    const path = this.#pathOf(again);
    if (!path.writes.every((write) => this.#isPossible(write)) || !path.reads.every((read) => this.#isReadable(read))) return true;
    const readsFail = again !== txn && (!asked || !this.#pathOf(txn).reads.every((read) => this.#isReadable(read) && !read.unsortable));
    // From 3.7 on reads are not made when a transaction is applied again.
    if (!this.#rules.keepsReads && path.reads.some((read) => read.unsortable)) return false;
    const lives = this.#write(path.writes);
    if (readsFail && this.#sub > 0n) this.refusedWhenAsked.push(request);
    return lives;
  }

  /** All of it is asked for, in the branch that is not taken too. */
  #isTxnPermitted({ compares, success, failure }: TxnOperation, requester: Requester): boolean {
    if (!compares.every(({ range }) => this.#permits(requester, 'read', range))) return false;
    return [...success, ...failure].every((request) => {
      if (request.kind === 'txn') return !this.#rules.judgesNestedRequests || this.#isTxnPermitted(request, requester);
      if (request.kind !== 'put' || this.#rules.judgesPutsInTransactions) return this.#isPermitted(request, requester);
      return this.#permits(requester, 'write', { key: request.key, end: undefined });
    });
  }

  /** What a transaction comes to; all comparisons, of nested ones too, are made before anything is written. */
  #pathOf(txn: TxnOperation): Path {
    const [writes, reads]: [Write[], ReadOperation[]] = [[], []];
    const walk = ({ compares, success, failure }: TxnOperation): void => {
      const requests = compares.every((compare) => this.#holds(compare)) ? success : failure;
      for (const request of requests) {
        if (request.kind === 'txn') walk(request);
        else if (request.kind === 'read') reads.push(request);
        else writes.push(request);
      }
    };
    walk(txn);
    return { writes, reads };
  }

  #holds(compare: Comparison): boolean {
    const keys = this.#keys.range(compare.range);
    if (keys.length === 0) return compare.target !== 'value' && holdsFor(compare, undefined);
    return keys.every((key) => holdsFor(compare, this.#keys.get(key)));
  }

  #isPermitted(request: Exclude<RequestOperation, TxnOperation>, requester: Requester): boolean {
    if (request.kind === 'read') return this.#permits(requester, 'read', request.range);
    const range = request.kind === 'put' ? { key: request.key, end: undefined } : request.range;
    if (!this.#permits(requester, 'write', range) || (request.prevKv && !this.#permits(requester, 'read', range))) return false;
    return request.kind === 'delete' || this.#mayUseLease(request.lease, requester);
  }

  #permits(requester: Requester, access: 'read' | 'write', range: KeyRange): boolean {
    if (!this.#alarms.judgesPermissions) return true;
    const verdict = this.auth.judge(requester, access, range);
    if (verdict === 'outdated') this.#sawOutdated = true;
    return verdict === 'permitted';
  }

  /** A lease that holds keys which the user may not write is not theirs to use. */
  #mayUseLease(id: bigint, requester: Requester): boolean {
    if (this.#rules.letsRootUseLeases && this.auth.isAdmin(requester)) return true;
    if (this.#lease(id) === undefined) return true;
    const keys = [...(this.#attached.get(id) ?? [])];
    return keys.every((key) => this.#permits(requester, 'write', { key: Buffer.from(key, 'latin1'), end: undefined }));
  }

  /** A put needs its lease, and the key itself when it keeps value or lease. */
  #isPossible(write: Write): boolean {
    if (write.kind === 'delete') return true;
    if (write.lease !== 0n && this.#lease(write.lease) === undefined) return false;
    return !(write.ignoreValue || write.ignoreLease) || this.#keys.get(write.key.toString('latin1')) !== undefined;
  }

  #isReadable({ revision }: ReadOperation): boolean {
    const compacted = this.compactRevision ?? this.#base.compacted;
    return revision === 0n || (revision <= this.revision && revision >= (compacted === 0n ? NEVER_COMPACTED : compacted));
  }

  /**
   * Makes the changes of one request: they share a revision, which is only taken if there are any.
   *
   * @returns false, with nothing changed, where etcd dies half-way
   */
  #write(writes: readonly Write[]): boolean {
    this.#sub = 0n;
    if (this.#failsHalfWay(writes)) return false;
    for (const write of writes) {
      if (write.kind === 'put') this.#put(write);
      else this.#deleteAll(this.#keys.range(write.range));
    }
    if (this.#sub > 0n) this.revision++;
    return true;
  }

  /**
   * etcd looks at what a put asks for before the first write of its transaction. If a write before it took the key away, or if the
   * lease that it keeps is not there, etcd panics.
   */
  #failsHalfWay(writes: readonly Write[]): boolean {
    if (!writes.some((write) => write.kind === 'put' && (write.ignoreValue || write.ignoreLease))) return false;
    const leases = new Map<string, bigint | undefined>();
    for (const write of writes) {
      if (write.kind === 'delete') {
        for (const key of [...this.#keys.range(write.range), ...leases.keys()]) if (isIn(write.range, key)) leases.set(key, undefined);
        continue;
      }
      const key = write.key.toString('latin1');
      const kept = leases.has(key) ? leases.get(key) : this.#keys.get(key)?.lease;
      if ((write.ignoreValue || write.ignoreLease) && kept === undefined) return true;
      if (write.ignoreLease && kept !== 0n && this.#lease(kept as bigint) === undefined) return true;
      leases.set(key, write.ignoreLease ? (kept as bigint) : write.lease);
    }
    return false;
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

  #checkpoint(checkpoints: readonly { readonly id: bigint; readonly remainingTtl: bigint }[]): void {
    for (const { id, remainingTtl } of checkpoints) {
      const lease = this.#lease(id);
      if (lease !== undefined) this.leases.set(id, { ...lease, remainingTtl });
    }
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

function isIn({ key, end }: KeyRange, name: string): boolean {
  const from = key.toString('latin1');
  return end === undefined ? name === from : name >= from && (end.length === 0 || name < end.toString('latin1'));
}

const NO_FIELDS = { value: EMPTY, createRevision: 0n, modRevision: 0n, version: 0n, lease: 0n };

function writes(operation: V3Operation): boolean {
  if (operation.kind !== 'txn') return operation.kind !== 'read';
  return [...operation.success, ...operation.failure].some(writes);
}

/** As a transaction is when it is applied again up to 3.6: reads at its top are gone (removeNeedlessRangeReqs). */
function withoutReads(txn: TxnOperation): TxnOperation {
  const isNoRead = ({ kind }: RequestOperation): boolean => kind !== 'read';
  const [success, failure] = [txn.success.filter(isNoRead), txn.failure.filter(isNoRead)];
  const isSame = success.length === txn.success.length && failure.length === txn.failure.length;
  return isSame ? txn : { ...txn, success, failure };
}

/** compareKV: a key that is not there has zero in every field. */
function holdsFor({ result, target, number, value }: Comparison, state: KeyState | undefined): boolean {
  const order = orderOf(target, state, number, value);
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

function orderOf(target: Comparison['target'], state: KeyState | undefined, number: bigint, value: Buffer): number {
  if (target === undefined) return 0;
  return target === 'value' ? (state?.value ?? EMPTY).compare(value) : compareNumbers(fieldOf(target, state), number);
}

function fieldOf(target: Exclude<Comparison['target'], 'value' | undefined>, state: KeyState | undefined): bigint {
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
