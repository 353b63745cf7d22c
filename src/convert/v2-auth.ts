import type { AuthData, Permission, Role, User } from '../model/auth.js';
import { prefixEnd } from '../selection/prefix.js';

const EVERY_KEY = Buffer.from([0]);

/** Users and roles of the v2 API, as its JSON has them: from a server, or from a store. */
export interface RawV2Auth {
  readonly enabled: boolean | undefined;
  /** `{user, roles}`, the roles by name or whole; or the name alone (etcd 2.1). */
  readonly users: readonly unknown[];
  /** `{role, permissions: {kv: {read, write}}}`, or the name alone. */
  readonly roles: readonly unknown[];
}

/**
 * Users and roles of a v2 store in the terms of v3, so that they can be made again. A v2 pattern
 * that ends in `*` is a prefix, any other a key (etcd api/v2auth/auth.go, simpleMatch). Passwords
 * are left where they are, hashed or not: no server takes a hash.
 *
 * @returns undefined when nobody made any: etcd always tells of a role `root`
 */
export function authOfV2({ enabled, users, roles }: RawV2Auth): AuthData | undefined {
  const auth: AuthData = {
    enabled,
    users: byName(users.map(userOf).filter((user) => user !== undefined)),
    roles: byName(roles.map(roleOf).filter((role) => role !== undefined)),
  };
  const madeByUsers = auth.users.length > 0 || auth.roles.some(({ name }) => name !== 'root' && name !== 'guest');
  return madeByUsers || enabled === true ? auth : undefined;
}

function byName<T extends { readonly name: string }>(all: T[]): T[] {
  return all.sort((a, b) => (a.name < b.name ? -1 : 1));
}

function userOf(raw: unknown): User | undefined {
  if (typeof raw === 'string') return { name: raw, roles: [] };
  const { user, roles } = fieldsOf(raw);
  if (typeof user !== 'string') return undefined;
  const names = listOf(roles).map((role) => (typeof role === 'string' ? role : fieldsOf(role).role));
  return { name: user, roles: names.filter((name) => typeof name === 'string') };
}

function roleOf(raw: unknown): Role | undefined {
  if (typeof raw === 'string') return { name: raw, permissions: [] };
  const { role, permissions } = fieldsOf(raw);
  if (typeof role !== 'string') return undefined;
  const { read, write } = fieldsOf(fieldsOf(permissions).kv);
  const [reads, writes] = [patternsOf(read), patternsOf(write)];
  const all = [...new Set([...reads, ...writes])];
  return { name: role, permissions: all.map((pattern) => permissionOf(pattern, reads.includes(pattern), writes.includes(pattern))) };
}

function permissionOf(pattern: string, reads: boolean, writes: boolean): Permission {
  const type = reads && writes ? 'readwrite' : reads ? 'read' : 'write';
  if (!pattern.endsWith('*')) return { type, key: Buffer.from(pattern), rangeEnd: Buffer.alloc(0) };
  const prefix = Buffer.from(pattern.slice(0, -1));
  if (prefix.length === 0) return { type, key: EVERY_KEY, rangeEnd: EVERY_KEY };
  return { type, key: prefix, rangeEnd: prefixEnd(prefix) ?? EVERY_KEY };
}

function patternsOf(raw: unknown): string[] {
  return listOf(raw).filter((pattern) => typeof pattern === 'string');
}

function listOf(raw: unknown): readonly unknown[] {
  return Array.isArray(raw) ? raw : [];
}

function fieldsOf(raw: unknown): Readonly<Record<string, unknown>> {
  return typeof raw === 'object' && raw !== null ? (raw as Record<string, unknown>) : {};
}
