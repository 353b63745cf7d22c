import type { AuthData } from '../model/auth.js';
import type { BackendMeta, BackendView, EtcdBackend } from '../wire/backend.js';
import type { StoredAlarm, StoredLease } from '../wire/backend-messages.js';
import type { BoltFile } from '../wire/bbolt-file.js';
import type { BoltRun } from '../wire/bbolt-walk.js';
import { encodeRevisionKey } from '../wire/revision-key.js';
import type { TailChange, TailLease, V3Tail } from './v3-tail.js';

const RUN_RECORDS = 4096;

/** etcd's backend as it would be once the tail of the WAL was applied to it. */
export class TailedBackend implements BackendView {
  readonly bolt: BoltFile;
  readonly meta: BackendMeta;
  readonly revision: bigint;
  readonly #base: EtcdBackend;
  readonly #tail: V3Tail;

  /** @param consistentIndex index of the last entry applied */
  constructor(base: EtcdBackend, tail: V3Tail, consistentIndex: bigint) {
    this.#base = base;
    this.#tail = tail;
    this.bolt = base.bolt;
    this.revision = tail.revision;
    this.meta = { ...base.meta, consistentIndex, scheduledCompactRevision: tail.compactRevision ?? base.meta.scheduledCompactRevision };
  }

  get compacted(): bigint {
    return this.#tail.compactRevision ?? this.#base.compacted;
  }

  /** The file's log of changes, and the tail's after it. */
  async *log(): AsyncGenerator<BoltRun> {
    yield* this.#base.log();
    const { changes } = this.#tail;
    for (let i = 0; i < changes.length; i += RUN_RECORDS) yield runOf(changes.slice(i, i + RUN_RECORDS));
  }

  /** In order of their ids as unsigned integers. */
  async *leases(): AsyncGenerator<StoredLease> {
    const changed = [...this.#tail.leases].sort(([a], [b]) => (BigInt.asUintN(64, a) < BigInt.asUintN(64, b) ? -1 : 1));
    let next = 0;
    for await (const lease of this.#base.leases()) {
      for (; next < changed.length && isBefore(changed[next], lease.id); next++) yield* stored(changed[next]);
      if (!this.#tail.leases.has(lease.id)) yield lease;
    }
    for (; next < changed.length; next++) yield* stored(changed[next]);
  }

  async auth(): Promise<AuthData | undefined> {
    return this.#tail.auth.data();
  }

  async alarms(): Promise<readonly StoredAlarm[]> {
    return this.#tail.alarms;
  }
}

type ChangedLease = readonly [id: bigint, lease: TailLease | undefined];

function isBefore(changed: ChangedLease | undefined, id: bigint): boolean {
  return changed !== undefined && BigInt.asUintN(64, changed[0]) < BigInt.asUintN(64, id);
}

function* stored(changed: ChangedLease | undefined): Generator<StoredLease> {
  if (changed?.[1] !== undefined) yield { id: changed[0], ...changed[1] };
}

function runOf(changes: readonly TailChange[]): BoltRun {
  const parts: Buffer[] = [];
  const [keys, values, ends] = [new Uint32Array(changes.length), new Uint32Array(changes.length), new Uint32Array(changes.length)];
  let at = 0;
  changes.forEach((change, i) => {
    const key = encodeRevisionKey(change, change.tombstone);
    parts.push(key, change.record);
    keys[i] = at;
    values[i] = at + key.length;
    at += key.length + change.record.length;
    ends[i] = at;
  });
  return { bytes: Buffer.concat(parts), keys, values, ends, bucketFlags: new Uint8Array(changes.length), count: changes.length };
}
