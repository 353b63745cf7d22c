import type { AuthData, Permission } from '../model/auth.js';

/** Every etcd v3 call this project makes whose messages it packs and splits itself. */
export type RawMethod = 'KV/Range' | 'KV/Txn' | 'KV/DeleteRange';

export interface RawCallOptions {
  readonly signal?: AbortSignal;
  /**
   * Largest answer to accept, in bytes; 32 MiB unless given. A larger one fails with reason
   * `answer-too-large` (see `reasonOf`) before it is received. Each limit has channels of its own,
   * so use few.
   */
  readonly maxReceiveBytes?: number;
  /**
   * Whether carrying the call out twice does no harm, so that it may be sent again when its answer
   * was lost; true for `KV/Range`, else false unless given. A write that is not repeatable then fails
   * with reason `outcome-unknown`, and the caller looks whether it was carried out.
   */
  readonly repeatable?: boolean;
}

export interface MemberStatus {
  readonly version: string;
  readonly clusterId: bigint;
  readonly memberId: bigint;
  readonly revision: bigint;
  /** Physical size of the backend in bytes. */
  readonly dbSize: bigint;
}

/** What is known of a cluster: all of a member's status where the user may ask for it, else what answers told. */
export type ClusterAbout = Partial<MemberStatus>;

export interface UserAddOptions {
  /** bcrypt hash as etcd stores it. */
  readonly passwordHash?: Buffer;
  /** True for a user that can only log in by certificate. */
  readonly noPassword?: boolean;
}

export interface SnapshotOptions {
  readonly signal?: AbortSignal;
}

/** A snapshot on its way from one member. */
export interface SnapshotStream {
  /** The member's, before the stream was opened. */
  readonly status: MemberStatus;
  /** Why the member may be behind its cluster; only with `allowStale`. */
  readonly doubt?: string;
  /** Revision of a linearizable read that the member answered before; 0n where there is a doubt. */
  readonly atLeast: bigint;
  /** Blobs of the bbolt file, then its 32-byte SHA-256. */
  readonly blobs: AsyncIterable<Buffer>;
}

/** What `LeaseTimeToLive` says; undefined where the lease is not there. */
export interface LeaseState {
  /** Seconds. */
  readonly grantedTtl: bigint;
  /** Seconds. */
  readonly remainingTtl: bigint;
}

/**
 * A connection to a live v3 cluster: fail-over between endpoints, credentials, renewal of the auth
 * token. All failures are FerryErrors: `unreachable` when no endpoint answers in time,
 * `unauthorized` for refused credentials or missing permission, `other-cluster` when an answer is not
 * of the cluster that answered first, `compacted`, `future-revision`, `no-space` (NOSPACE alarm),
 * `not-up-to-date` (CORRUPT alarm), `failed` for the rest.
 */
export interface V3Cluster {
  /** The endpoints, as the user may see them. */
  readonly location: string;
  /** What speaks against a member that has answered, where the options allow one. */
  readonly doubt: string | undefined;
  /** Makes a unary call of `etcdserverpb` with an encoded request; resolves to the encoded answer. */
  call(method: RawMethod, request: Uint8Array, options?: RawCallOptions): Promise<Buffer>;
  /** @throws FerryError with reason `permission-denied` where it is for root alone (etcd 3.6.0 to 3.6.11 and others) */
  status(signal?: AbortSignal): Promise<MemberStatus>;
  /**
   * The status, or where the user may not ask for it what else tells: the header of any answer and
   * `GET /version`. What cannot be known is absent.
   */
  about(signal?: AbortSignal): Promise<ClusterAbout>;
  /**
   * Opens a stream of `Maintenance.Snapshot` from a member that is up to date.
   *
   * @throws FerryError `not-up-to-date` where no endpoint leads to one, and the options do not allow another
   */
  snapshot(options?: SnapshotOptions): Promise<SnapshotStream>;

  /** Ids of all leases, unordered. */
  leases(): Promise<BigInt64Array>;
  leaseState(id: bigint): Promise<LeaseState | undefined>;
  /** The keys attached to a lease; undefined where it is not there. */
  leaseKeys(id: bigint): Promise<Buffer[] | undefined>;
  /**
   * Grants a lease with the id given (0n: etcd chooses).
   *
   * @returns its id and the TTL in seconds that etcd gave it (never below its minimum)
   * @throws FerryError `in-the-way` when the id is taken
   */
  leaseGrant(id: bigint, ttl: bigint): Promise<{ readonly id: bigint; readonly ttl: bigint }>;
  leaseRevoke(id: bigint): Promise<void>;

  /** Users and roles; undefined when the credentials do not allow to list them. */
  authData(): Promise<AuthData | undefined>;
  roleAdd(name: string): Promise<void>;
  rolePermit(name: string, permission: Permission): Promise<void>;
  /**
   * Adds a user that cannot log in by password: no server takes a hash. AuthUserAddRequest has had a
   * `hashedPassword` since 3.5, but the server overwrites what a client puts there with the hash of
   * the (empty) password, which would let anybody in (tried on 3.4.23 and 3.5.16).
   *
   * @returns whether that is what was asked for (`noPassword`)
   * @throws FerryError `in-the-way` when there is such a user
   */
  userAdd(name: string, options: UserAddOptions): Promise<boolean>;
  userGrant(name: string, role: string): Promise<void>;

  close(): Promise<void>;
}
