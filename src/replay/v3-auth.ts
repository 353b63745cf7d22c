import type { AuthData, Permission, PermissionType, Role, User } from '../model/auth.js';
import { eachField } from '../wire/raft.js';
import type { AuthOperation, KeyRange } from '../wire/raft-v3.js';
import { readBytes, readVarint } from '../wire/varint.js';
import { KeyRanges } from './key-ranges.js';

const ROOT = 'root';
const EMPTY: Buffer = Buffer.alloc(0);
const PERMISSION_TYPES: readonly PermissionType[] = ['read', 'write', 'readwrite'];

/** Who makes a request: the header of an InternalRaftRequest. */
export interface Requester {
  readonly user: string;
  readonly authRevision: bigint;
}

interface MutableUser {
  roles: string[];
  passwordHash: Buffer | undefined;
  readonly noPassword: boolean;
}

/**
 * etcd's users, roles and permissions (server/auth/store.go), as far as a tail changes them and what
 * is in it is judged by them: etcd checks permissions only when an entry is applied, so the log holds
 * requests that were refused.
 */
export class V3Auth {
  #enabled: boolean;
  #revision: bigint;
  readonly #users = new Map<string, MutableUser>();
  readonly #roles = new Map<string, Permission[]>();
  readonly #allowed = new Map<string, KeyRanges>();
  /** Passwords set by an etcd older than 3.5: its log has no hash of them. */
  lostPasswords = 0;

  /** @param revision etcd's auth revision, 0n where authentication was never used */
  constructor(data: AuthData | undefined, revision: bigint) {
    this.#enabled = data?.enabled ?? false;
    this.#revision = revision;
    for (const { name, roles, passwordHash, noPassword } of data?.users ?? []) {
      this.#users.set(name, { roles: [...roles], passwordHash, noPassword: noPassword ?? false });
    }
    for (const { name, permissions } of data?.roles ?? []) this.#roles.set(name, [...permissions]);
  }

  data(): AuthData | undefined {
    if (!this.#enabled && this.#users.size === 0 && this.#roles.size === 0) return undefined;
    const byName = ([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number => Buffer.from(a).compare(Buffer.from(b));
    const users = [...this.#users].sort(byName).map(([name, { roles, passwordHash, noPassword }]): User => {
      return { name, roles, noPassword, ...(passwordHash === undefined ? {} : { passwordHash }) };
    });
    const roles = [...this.#roles].sort(byName).map(([name, permissions]): Role => ({ name, permissions }));
    return { enabled: this.#enabled, users, roles };
  }

  /** True where authentication is off, or the user has the role `root`. */
  isAdmin({ user }: Requester): boolean {
    return !this.#enabled || this.#users.get(user)?.roles.includes(ROOT) === true;
  }

  /** Whether a request may read or write all keys of a range (isOpPermitted). */
  permits(requester: Requester, access: 'read' | 'write', range: KeyRange): boolean {
    if (!this.#enabled) return true;
    if (requester.authRevision === 0n || requester.authRevision < this.#revision || !this.#users.has(requester.user)) return false;
    return this.isAdmin(requester) || this.#rangesOf(requester.user, access).covers(range);
  }

  /** Does what an operation on users and roles does, if etcd would not refuse it. */
  apply({ field, message }: AuthOperation, requester: Requester): void {
    if (!this.isAdmin(requester)) return;
    this.#allowed.clear();
    const fields = textFields(message);
    const [first = EMPTY, second = EMPTY] = [fields[1], fields[2]];
    if (field === 1000) this.#enable();
    else if (this.#change(field, first.toString(), second, fields)) this.#revision++;
  }

  #enable(): void {
    if (this.#users.get(ROOT)?.roles.includes(ROOT) === true) this.#enabled = true;
  }

  #change(field: number, name: string, second: Buffer, fields: readonly (Buffer | undefined)[]): boolean {
    switch (field) {
      case 1011: {
        const was = this.#enabled;
        this.#enabled = false;
        return was;
      }
      case 1100:
        return this.#addUser(name, second, fields);
      case 1101:
        return !(this.#enabled && name === ROOT) && this.#users.delete(name);
      case 1103:
        return this.#changePassword(name, second, fields[3]);
      case 1104:
        return this.#grantRole(name, second.toString());
      case 1105:
        return this.#revokeRole(name, second.toString());
      case 1200:
        if (name === '' || this.#roles.has(name)) return false;
        this.#roles.set(name, []);
        return true;
      case 1201:
        return this.#deleteRole(name);
      case 1203:
        return this.#grantPermission(name, second);
      default:
        return this.#revokePermission(name, second, fields[3] ?? EMPTY);
    }
  }

  #addUser(name: string, password: Buffer, fields: readonly (Buffer | undefined)[]): boolean {
    if (name === '' || this.#users.has(name)) return false;
    const noPassword = firstNumber(fields[3] ?? EMPTY) !== 0;
    this.#users.set(name, { roles: [], passwordHash: noPassword ? undefined : this.#hashOf(password, fields[4]), noPassword });
    return true;
  }

  #changePassword(name: string, password: Buffer, hashed: Buffer | undefined): boolean {
    const user = this.#users.get(name);
    if (user === undefined) return false;
    user.passwordHash = user.noPassword ? undefined : this.#hashOf(password, hashed);
    return true;
  }

  /** From 3.5 on the log has the bcrypt hash, in base64; before, the password itself, which every member hashes anew. */
  #hashOf(password: Buffer, hashed: Buffer | undefined): Buffer | undefined {
    if (hashed !== undefined && hashed.length > 0) return Buffer.from(hashed.toString('latin1'), 'base64');
    if (password.length > 0) this.lostPasswords++;
    return undefined;
  }

  #grantRole(name: string, role: string): boolean {
    const user = this.#users.get(name);
    if (user === undefined || (role !== ROOT && !this.#roles.has(role)) || user.roles.includes(role)) return false;
    user.roles = [...user.roles, role].sort((a, b) => Buffer.from(a).compare(Buffer.from(b)));
    return true;
  }

  #revokeRole(name: string, role: string): boolean {
    const user = this.#users.get(name);
    if (user === undefined || !user.roles.includes(role) || (this.#enabled && name === ROOT && role === ROOT)) return false;
    user.roles = user.roles.filter((other) => other !== role);
    return true;
  }

  #deleteRole(role: string): boolean {
    if ((this.#enabled && role === ROOT) || !this.#roles.delete(role)) return false;
    for (const user of this.#users.values()) user.roles = user.roles.filter((other) => other !== role);
    return true;
  }

  #grantPermission(role: string, message: Buffer): boolean {
    const permissions = this.#roles.get(role);
    const type = PERMISSION_TYPES[firstNumber(message)];
    if (permissions === undefined || type === undefined) return false;
    const [, , key = EMPTY, rangeEnd = EMPTY] = textFields(message);
    const others = permissions.filter((other) => !(other.key.equals(key) && other.rangeEnd.equals(rangeEnd)));
    const granted = { type, key: Buffer.from(key), rangeEnd: Buffer.from(rangeEnd) };
    this.#roles.set(
      role,
      [...others, granted].sort((a, b) => a.key.compare(b.key)),
    );
    return true;
  }

  #revokePermission(role: string, key: Buffer, rangeEnd: Buffer): boolean {
    const permissions = this.#roles.get(role);
    const kept = permissions?.filter((other) => !(other.key.equals(key) && other.rangeEnd.equals(rangeEnd)));
    if (permissions === undefined || kept === undefined || kept.length === permissions.length) return false;
    this.#roles.set(role, kept);
    return true;
  }

  #rangesOf(user: string, access: 'read' | 'write'): KeyRanges {
    const cached = this.#allowed.get(`${access} ${user}`);
    if (cached !== undefined) return cached;
    const ranges = new KeyRanges();
    for (const role of this.#users.get(user)?.roles ?? []) {
      for (const { type, key, rangeEnd } of this.#roles.get(role) ?? []) {
        if (type !== access && type !== 'readwrite') continue;
        const end = rangeEnd.length === 0 ? undefined : rangeEnd.length === 1 && rangeEnd[0] === 0 ? EMPTY : rangeEnd;
        ranges.add({ key, end });
      }
    }
    this.#allowed.set(`${access} ${user}`, ranges);
    return ranges;
  }
}

/** The length-delimited fields of a message by number, up to 15. */
function textFields(message: Buffer): (Buffer | undefined)[] {
  const fields: (Buffer | undefined)[] = [];
  eachField(message, (tag, c) => {
    if ((tag & 7) !== 2 || tag >= 128) return false;
    fields[tag >> 3] = readBytes(c);
    return true;
  });
  return fields;
}

/** Field 1 of a message as a number; 0 when it is not there. */
function firstNumber(message: Buffer): number {
  let found = 0;
  eachField(message, (tag, c) => {
    if (tag !== 0x08) return false;
    found = readVarint(c);
    return true;
  });
  return found;
}
