import { FerryError } from '../errors.js';
import type { AuthData, Role, User } from '../model/auth.js';
import type { ByteSource } from '../model/bytes.js';
import { decodeAlarm, decodeLease, decodeRole, decodeUser, type StoredAlarm, type StoredLease } from './backend-messages.js';
import { BoltFile } from './bbolt-file.js';
import { boltDamage } from './bbolt-page.js';
import type { BoltRun } from './bbolt-walk.js';
import { decodeRevisionKey } from './revision-key.js';

const LARGEST_META_VALUE = 1 << 20;

/** Bucket of ours in the snapshot files that we write, with one entry: a mark that says what the file was made of. */
export const MARK_BUCKET = 'etcdferry';

/** What etcd's `meta` and `cluster` buckets say; undefined where nothing is stored (etcd server/mvcc, server/storage/schema). */
export interface BackendMeta {
  /** Raft index up to which the file is complete. */
  readonly consistentIndex: bigint | undefined;
  readonly term: bigint | undefined;
  readonly finishedCompactRevision: bigint | undefined;
  readonly scheduledCompactRevision: bigint | undefined;
  /** From etcd 3.6 on: `3.6.0`. */
  readonly storageVersion: string | undefined;
  readonly clusterVersion: string | undefined;
}

/** What readers use of a backend: the file alone, or the file with a WAL's tail applied to it. */
export type BackendView = Pick<EtcdBackend, 'bolt' | 'meta' | 'revision' | 'compacted' | 'log' | 'leases' | 'auth' | 'alarms'>;

type Buckets = Awaited<ReturnType<BoltFile['buckets']>>;

/** etcd's v3 backend: the buckets of a snapshot file or of `member/snap/db`. */
export class EtcdBackend {
  readonly bolt: BoltFile;
  readonly meta: BackendMeta;
  /** The store's revision when the file was made: of the last change or the last compaction, at least 1. */
  readonly revision: bigint;
  readonly #buckets: Buckets;
  /** Key of the last change, as found when the file was opened. */
  readonly #last: Buffer | undefined;

  private constructor(bolt: BoltFile, buckets: Buckets, meta: BackendMeta, last: Buffer | undefined, revision: bigint) {
    this.#last = last;
    this.bolt = bolt;
    this.#buckets = buckets;
    this.meta = meta;
    this.revision = revision;
  }

  /**
   * Opens the file and reads what is known beforehand; the source stays the caller's to close.
   *
   * @param options `mayLackKeyspace`: a file without a bucket "key" is one without keys
   * @throws FerryError `damaged`, also for a bbolt file of another program; `unknown-format`
   */
  static async open(source: ByteSource, { mayLackKeyspace = false }: { readonly mayLackKeyspace?: boolean } = {}): Promise<EtcdBackend> {
    const bolt = await BoltFile.open(source);
    const buckets = await bolt.buckets();
    const key = buckets.get('key');
    if (key === undefined && !mayLackKeyspace) throw boltDamage(source.name, `a bbolt file, but not etcd's: it has no bucket "key"`);
    const meta = await readMeta(bolt, buckets);
    const last = key === undefined ? undefined : await bolt.lastKey(key, 'key');
    const marks = [1n, meta.finishedCompactRevision ?? 0n, meta.scheduledCompactRevision ?? 0n];
    if (last !== undefined) marks.push(inFile(source.name, () => decodeRevisionKey(last).main));
    return new EtcdBackend(bolt, buckets, meta, last, largest(marks));
  }

  /** Revisions below this one are compacted; 0n when none are. */
  get compacted(): bigint {
    return largest([this.meta.finishedCompactRevision ?? 0n, this.meta.scheduledCompactRevision ?? 0n]);
  }

  /**
   * The log of changes: revision keys and `mvccpb.KeyValue` messages. A run is valid until the next is asked for.
   *
   * @throws FerryError `damaged`, also when it ends with another change than the one that told the revision: someone writes to the file
   */
  async *log(): AsyncGenerator<BoltRun> {
    let last: Buffer | undefined;
    for await (const run of this.#runs('key')) {
      if (run.count > 0) last = Buffer.from(run.bytes.subarray(run.keys[run.count - 1], run.values[run.count - 1]));
      yield run;
    }
    if (last === undefined ? this.#last === undefined : this.#last?.equals(last)) return;
    const shown = (key: Buffer | undefined): string => (key === undefined ? 'no change' : `change ${key.toString('hex')}`);
    throw boltDamage(this.bolt.source.name, `its log ends with ${shown(last)}, and ended with ${shown(this.#last)} when it was opened`);
  }

  /** All leases, in order of their ids as unsigned integers: negative ones last. */
  async *leases(): AsyncGenerator<StoredLease> {
    for await (const [key, value] of this.#entries('lease')) {
      const lease = inFile(this.bolt.source.name, () => decodeLease(value));
      if (key.length !== 8 || key.readBigInt64BE() !== lease.id || lease.id === 0n) {
        throw boltDamage(this.bolt.source.name, `lease ${lease.id} is stored under ${key.toString('hex')}`);
      }
      yield lease;
    }
  }

  /** Users and roles with their password hashes; undefined when authentication is off and there are none. */
  async auth(): Promise<AuthData | undefined> {
    let enabled = false;
    const users: User[] = [];
    const roles: Role[] = [];
    for await (const [key, value] of this.#entries('auth')) if (key.equals(Buffer.from('authEnabled'))) enabled = value[0] === 1;
    for await (const [, value] of this.#entries('authUsers')) users.push(inFile(this.bolt.source.name, () => decodeUser(value)));
    for await (const [, value] of this.#entries('authRoles')) roles.push(inFile(this.bolt.source.name, () => decodeRole(value)));
    if (!enabled && users.length === 0 && roles.length === 0) return undefined;
    return { enabled, users, roles };
  }

  /** The alarms that are raised; the bucket has them as its keys. */
  async alarms(): Promise<readonly StoredAlarm[]> {
    const alarms: StoredAlarm[] = [];
    for await (const [key] of this.#entries('alarm')) alarms.push(inFile(this.bolt.source.name, () => decodeAlarm(key)));
    return alarms;
  }

  /** What our mark says; undefined where the file has none. */
  async mark(): Promise<Buffer | undefined> {
    for await (const [, value] of this.#entries(MARK_BUCKET)) return value;
    return undefined;
  }

  async *#runs(name: string): AsyncGenerator<BoltRun> {
    const bucket = this.#buckets.get(name);
    if (bucket !== undefined) yield* this.bolt.runs(bucket, name);
  }

  async *#entries(name: string): AsyncGenerator<readonly [key: Buffer, value: Buffer]> {
    const bucket = this.#buckets.get(name);
    if (bucket !== undefined) yield* this.bolt.entries(bucket, name);
  }
}

function largest(values: readonly bigint[]): bigint {
  let result = 0n;
  for (const value of values) if (value > result) result = value;
  return result;
}

/** Names the file in an error about a message or a key in it. */
export function inFile<T>(name: string, read: () => T): T {
  try {
    return read();
  } catch (thrown) {
    if (thrown instanceof FerryError && thrown.code === 'damaged') throw boltDamage(name, thrown.message);
    throw thrown;
  }
}

async function readMeta(bolt: BoltFile, buckets: Buckets): Promise<BackendMeta> {
  const values = new Map<string, Buffer>();
  for (const name of ['meta', 'cluster']) {
    const bucket = buckets.get(name);
    if (bucket === undefined) continue;
    for await (const [key, value] of bolt.entries(bucket, name)) {
      if (key.length + value.length < LARGEST_META_VALUE && values.size < 100) values.set(key.toString('latin1'), value);
    }
  }
  const revision = (key: string): bigint | undefined => {
    const value = values.get(key);
    return value === undefined ? undefined : inFile(bolt.source.name, () => decodeRevisionKey(value).main);
  };
  const u64 = (key: string): bigint | undefined => {
    const value = values.get(key);
    return value?.length === 8 ? value.readBigUInt64BE() : undefined;
  };
  return {
    consistentIndex: u64('consistent_index'),
    term: u64('term'),
    finishedCompactRevision: revision('finishedCompactRev'),
    scheduledCompactRevision: revision('scheduledCompactRev'),
    storageVersion: values.get('storageVersion')?.toString(),
    clusterVersion: values.get('clusterVersion')?.toString(),
  };
}
