import { FerryError } from '../errors.js';
import { type AuthData, asStored, type PermissionType, type Role, type User } from '../model/auth.js';
import { namesIn } from '../wire/rpc.js';
import { reasonOf } from './v3-errors.js';
import type { Failover } from './v3-failover.js';
import { raw, typed } from './v3-messages.js';

/** Users and roles come as one list of names each, and their details one by one: so many are asked for at once. */
const IN_FLIGHT = 32;
/** Largest list of users, roles or leases, in bytes: each comes in one message. */
const LARGEST_LIST = 64 << 20;

/**
 * Reads users and roles.
 *
 * @returns undefined where the user may not list them, or the server has no such service
 */
export async function readAuth(calls: Failover): Promise<AuthData | undefined> {
  try {
    const users = namesIn(await takeList(calls, 'Auth', 'UserList', 'users'));
    const roles = namesIn(await takeList(calls, 'Auth', 'RoleList', 'roles'));
    const enabled = await isEnabled(calls);
    const userOf = userReader(calls);
    return { enabled, users: await mapFew(users, userOf), roles: await mapFew(roles, (name) => roleOf(calls, name)) };
  } catch (thrown) {
    if (isRefused(thrown)) return undefined;
    throw thrown;
  }
}

/**
 * Takes a list that comes in one message.
 *
 * @param what it lists, for messages
 * @throws FerryError `failed` when it is larger than 64 MiB
 */
export async function takeList(calls: Failover, service: 'Auth' | 'Lease', method: string, what: string): Promise<Buffer> {
  const list = raw(`/etcdserverpb.${service}/${method}`, Buffer.alloc(0));
  try {
    return await calls.unary(service, list, { repeatable: true, receiveBytes: LARGEST_LIST });
  } catch (thrown) {
    if (reasonOf(thrown) !== 'answer-too-large') throw thrown;
    const hint = 'Is it an etcd that answers there? No cluster has so many.';
    throw new FerryError('failed', `${calls.address}: the list of ${what} is larger than ${LARGEST_LIST} bytes`, { hint });
  }
}

function userReader(calls: Failover): (name: string) => Promise<User> {
  // Many users have the same few roles: each name is kept once.
  const shared = new Map<string, string>();
  const share = (role: string): string => {
    const kept = shared.get(role);
    if (kept === undefined) shared.set(role, role);
    return kept ?? role;
  };
  return async (name) => {
    const { roles } = await calls.unary('Auth', typed('userGet', { name }), { repeatable: true });
    return { name, roles: roles.map(share) };
  };
}

async function roleOf(calls: Failover, name: string): Promise<Role> {
  const { perm } = await calls.unary('Auth', typed('roleGet', { role: name }), { repeatable: true });
  const permissions = perm.map(({ permType, key, range_end: rangeEnd }) => {
    const type: PermissionType = permType === 'Read' ? 'read' : permType === 'Write' ? 'write' : 'readwrite';
    return { type, key, rangeEnd };
  });
  return asStored({ name, permissions });
}

/** AuthStatus came with etcd 3.5, and is for root alone before 3.7; elsewhere only our own login tells. */
async function isEnabled(calls: Failover): Promise<boolean | undefined> {
  try {
    return (await calls.unary('Auth', typed('authStatus', {}), { repeatable: true })).enabled;
  } catch (thrown) {
    if (isRefused(thrown)) return calls.authEnabled;
    throw thrown;
  }
}

function isRefused(thrown: unknown): boolean {
  const reason = reasonOf(thrown);
  return reason === 'permission-denied' || reason === 'not-supported';
}

/** The results in order; few are worked on at once, and none is begun after one has failed. */
async function mapFew<A, B>(items: readonly A[], work: (item: A) => Promise<B>): Promise<B[]> {
  const results = new Array<B>(items.length);
  let next = 0;
  const worker = async (): Promise<void> => {
    try {
      while (next < items.length) {
        const index = next++;
        results[index] = await work(items[index] as A);
      }
    } finally {
      next = items.length;
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, worker));
  return results;
}
