import { randomBytes } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import { FerryError } from '../errors.js';
import type { AuthData, Permission, PermissionType } from '../model/auth.js';
import { leaseIdsIn } from '../wire/rpc.js';
import type { ClusterOptions } from './options.js';
import type {
  ClusterAbout,
  LeaseState,
  MemberStatus,
  RawCallOptions,
  RawMethod,
  SnapshotOptions,
  SnapshotStream,
  UserAddOptions,
  V3Cluster,
} from './v3.js';
import { readAuth, takeList } from './v3-auth.js';
import { DEFAULT_RECEIVE_BYTES, type Service, type StartCall } from './v3-endpoint.js';
import { reasonOf } from './v3-errors.js';
import { Failover } from './v3-failover.js';
import { raw, typed } from './v3-messages.js';
import { openSnapshot } from './v3-snapshot.js';
import { isCorrupt, memberStatus } from './v3-status.js';

/** Opens the connection behind `connectV3`, which loads this file and its libraries when needed. */
export async function openConnection(options: ClusterOptions, signal?: AbortSignal): Promise<V3Cluster> {
  // Every call under way listens to it.
  if (signal !== undefined) setMaxListeners(0, signal);
  const connection = new Connection(options, signal);
  try {
    await connection.connect();
    return connection;
  } catch (thrown) {
    await connection.close();
    throw thrown;
  }
}

/** The version is only for reports: longest wait for it, in milliseconds. */
const VERSION_TIMEOUT = 5_000;
const PERMISSIONS: Readonly<Record<PermissionType, 'Read' | 'Write' | 'Readwrite'>> = {
  read: 'Read',
  write: 'Write',
  readwrite: 'Readwrite',
};

class Connection implements V3Cluster {
  readonly location: string;
  readonly #calls: Failover;
  readonly #options: ClusterOptions;

  constructor(options: ClusterOptions, signal: AbortSignal | undefined) {
    this.location = options.endpoints.join(',');
    this.#calls = new Failover(options, signal);
    this.#options = options;
  }

  get doubt(): string | undefined {
    return this.#calls.doubt;
  }

  async connect(): Promise<void> {
    await this.#calls.connect(undefined);
  }

  async call(method: RawMethod, request: Uint8Array, options: RawCallOptions = {}): Promise<Buffer> {
    return this.#calls.unary('KV', raw(`/etcdserverpb.${method}`, request), {
      signal: options.signal,
      receiveBytes: options.maxReceiveBytes ?? DEFAULT_RECEIVE_BYTES,
      repeatable: options.repeatable ?? method === 'KV/Range',
      agreed: true,
    });
  }

  async status(signal?: AbortSignal): Promise<MemberStatus> {
    const answer = await this.#again('Maintenance', typed('status', {}), signal);
    this.#calls.judge(this.#calls.address, isCorrupt(answer.errors, String(answer.header.member_id)));
    return memberStatus(answer);
  }

  async about(signal?: AbortSignal): Promise<ClusterAbout> {
    try {
      return await this.status(signal);
    } catch (thrown) {
      const reason = reasonOf(thrown);
      if (reason !== 'permission-denied' && reason !== 'not-supported') throw thrown;
      const version = await this.#version(signal);
      return { ...this.#calls.known, ...(version === undefined ? {} : { version }) };
    }
  }

  snapshot(options: SnapshotOptions = {}): Promise<SnapshotStream> {
    return openSnapshot(this.#calls, this.#options.commandTimeout, options);
  }

  async leases(): Promise<BigInt64Array> {
    return leaseIdsIn(await takeList(this.#calls, 'Lease', 'LeaseLeases', 'leases'));
  }

  async leaseState(id: bigint): Promise<LeaseState | undefined> {
    const answer = await this.#again('Lease', typed('leaseTimeToLive', { ID: String(id) }));
    // etcd answers for a lease that is not there with a TTL of -1 (v3rpc/lease.go).
    const remainingTtl = BigInt(answer.TTL);
    return remainingTtl < 0n ? undefined : { grantedTtl: BigInt(answer.grantedTTL), remainingTtl };
  }

  async leaseKeys(id: bigint): Promise<Buffer[] | undefined> {
    const answer = await this.#again('Lease', typed('leaseTimeToLive', { ID: String(id), keys: true }));
    return BigInt(answer.TTL) < 0n ? undefined : answer.keys;
  }

  async leaseGrant(id: bigint, ttl: bigint): Promise<{ readonly id: bigint; readonly ttl: bigint }> {
    const answer = await this.#once('Lease', typed('leaseGrant', { ID: String(id), TTL: String(ttl) }));
    return { id: BigInt(answer.ID), ttl: BigInt(answer.TTL) };
  }

  async leaseRevoke(id: bigint): Promise<void> {
    try {
      await this.#again('Lease', typed('leaseRevoke', { ID: String(id) }));
    } catch (thrown) {
      if (reasonOf(thrown) !== 'lease-not-found') throw thrown;
    }
  }

  authData(): Promise<AuthData | undefined> {
    return readAuth(this.#calls);
  }

  async roleAdd(name: string): Promise<void> {
    await this.#once('Auth', typed('roleAdd', { name }));
  }

  async rolePermit(name: string, permission: Permission): Promise<void> {
    const { type, key, rangeEnd } = permission;
    const perm = { permType: PERMISSIONS[type], key, range_end: rangeEnd };
    await this.#again('Auth', typed('roleGrantPermission', { name, perm }));
  }

  async userAdd(name: string, { noPassword }: UserAddOptions): Promise<boolean> {
    // Servers before 3.4 do not know no_password: there a password that nobody knows keeps others out.
    const password = randomBytes(24).toString('base64');
    await this.#once('Auth', typed('userAdd', { name, password, options: { no_password: true } }));
    return noPassword === true;
  }

  async userGrant(name: string, role: string): Promise<void> {
    await this.#again('Auth', typed('userGrantRole', { user: name, role }));
  }

  async close(): Promise<void> {
    this.#calls.close();
  }

  /** What `GET /version` tells, which etcd answers to anybody on the same port. */
  async #version(signal: AbortSignal | undefined): Promise<string | undefined> {
    const { tls, dialTimeout, commandTimeout } = this.#options;
    const { connectV2 } = await import('./v2.js');
    const timeout = Math.min(commandTimeout, VERSION_TIMEOUT);
    const http = connectV2({
      endpoints: [this.#calls.address],
      dialTimeout,
      commandTimeout: timeout,
      ...(tls === undefined ? {} : { tls }),
    });
    try {
      return await http.version(signal ?? this.#calls.signal);
    } catch (thrown) {
      (signal ?? this.#calls.signal)?.throwIfAborted();
      if (!(thrown instanceof FerryError)) throw thrown;
      return undefined;
    } finally {
      await http.close();
    }
  }

  /** For reads, and for writes that do no harm when done twice. */
  #again<T>(service: Service, start: StartCall<T>, signal?: AbortSignal): Promise<T> {
    return this.#calls.unary(service, start, { signal, repeatable: true });
  }

  #once<T>(service: Service, start: StartCall<T>): Promise<T> {
    return this.#calls.unary(service, start, { repeatable: false });
  }
}
