import { randomBytes } from 'node:crypto';
import type { AuthData, Permission, PermissionType, Role } from '../model/auth.js';
import type { ClusterOptions } from './options.js';
import type { LeaseState, MemberStatus, RawCallOptions, RawMethod, UserAddOptions, V3Cluster } from './v3.js';
import { DEFAULT_RECEIVE_BYTES, type Service, type StartCall } from './v3-endpoint.js';
import { reasonOf } from './v3-errors.js';
import { Failover } from './v3-failover.js';
import { raw, typed } from './v3-messages.js';
import { snapshotStream } from './v3-snapshot.js';

/** Opens the connection behind `connectV3`, which loads this file and its libraries when needed. */
export async function openConnection(options: ClusterOptions, signal?: AbortSignal): Promise<V3Cluster> {
  const connection = new Connection(options);
  try {
    await connection.status(signal);
    return connection;
  } catch (thrown) {
    await connection.close();
    throw thrown;
  }
}

const PERMISSIONS: Readonly<Record<PermissionType, 'Read' | 'Write' | 'Readwrite'>> = {
  read: 'Read',
  write: 'Write',
  readwrite: 'Readwrite',
};

class Connection implements V3Cluster {
  readonly location: string;
  readonly #calls: Failover;
  readonly #commandTimeout: number;

  constructor(options: ClusterOptions) {
    this.location = options.endpoints.join(',');
    this.#calls = new Failover(options);
    this.#commandTimeout = options.commandTimeout;
  }

  async call(method: RawMethod, request: Uint8Array, options: RawCallOptions = {}): Promise<Buffer> {
    return this.#calls.unary('KV', raw(`/etcdserverpb.${method}`, request), {
      signal: options.signal,
      receiveBytes: options.maxReceiveBytes ?? DEFAULT_RECEIVE_BYTES,
      repeatable: options.repeatable ?? method === 'KV/Range',
    });
  }

  async status(signal?: AbortSignal): Promise<MemberStatus> {
    const answer = await this.#again('Maintenance', typed('status', {}), signal);
    return {
      version: answer.version,
      clusterId: BigInt(answer.header.cluster_id),
      memberId: BigInt(answer.header.member_id),
      revision: BigInt(answer.header.revision),
      dbSize: BigInt(answer.dbSize),
    };
  }

  snapshot(signal?: AbortSignal): AsyncIterable<Buffer> {
    return snapshotStream(this.#calls, this.#commandTimeout, signal);
  }

  async leases(): Promise<bigint[]> {
    const answer = await this.#again('Lease', typed('leaseLeases', {}));
    return answer.leases.map((lease) => BigInt(lease.ID));
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

  async authData(): Promise<AuthData | undefined> {
    try {
      const { users } = await this.#again('Auth', typed('userList', {}));
      const { roles } = await this.#again('Auth', typed('roleList', {}));
      return {
        enabled: await this.#authEnabled(),
        users: await Promise.all(
          users.map(async (name) => ({ name, roles: (await this.#again('Auth', typed('userGet', { name }))).roles })),
        ),
        roles: await Promise.all(roles.map((name) => this.#role(name))),
      };
    } catch (thrown) {
      if (reasonOf(thrown) === 'permission-denied') return undefined;
      throw thrown;
    }
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

  async #role(name: string): Promise<Role> {
    const { perm } = await this.#again('Auth', typed('roleGet', { role: name }));
    const permissions = perm.map(({ permType, key, range_end: rangeEnd }) => {
      const type: PermissionType = permType === 'Read' ? 'read' : permType === 'Write' ? 'write' : 'readwrite';
      return { type, key, rangeEnd };
    });
    return { name, permissions };
  }

  /** AuthStatus came with etcd 3.5; before it, only our own login tells. */
  async #authEnabled(): Promise<boolean | undefined> {
    try {
      return (await this.#again('Auth', typed('authStatus', {}))).enabled;
    } catch (thrown) {
      if (reasonOf(thrown) === 'not-supported') return this.#calls.authEnabled;
      throw thrown;
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
