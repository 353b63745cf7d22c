import type { AuthData, Permission, PermissionType, Role, User } from '../model/auth.js';
import { eachField } from '../wire/raft.js';
import { type AuthOperation, type KeyRange, rangeOf } from '../wire/raft-v3.js';
import { readBytes, readVarint64 } from '../wire/varint.js';
import { PermissionTree } from './permission-tree.js';
import type { V3Rules } from './v3-rules.js';

const ROOT = 'root';
const EMPTY: Buffer = Buffer.alloc(0);
const PERMISSION_TYPES: readonly PermissionType[] = ['read', 'write', 'readwrite'];
const BCRYPT_BYTES = 72;

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

/** A permission as the log has it: types but 0 to 2 are stored too, and permit nothing. */
interface Granted {
  readonly type: number;
  readonly key: Buffer;
  readonly rangeEnd: Buffer;
}

/** How etcd takes a request for keys: `outdated` is refused as made before a change of users or roles. */
export type Verdict = 'permitted' | 'denied' | 'outdated';

/** What became of an operation on users and roles. */
export type AuthOutcome = 'done' | 'refused' | 'kills-etcd';

/**
 * etcd's users, roles and permissions (server/auth/store.go), as far as a tail changes them and what
 * is in it is judged by them: etcd checks permissions only when an entry is applied, so the log holds
 * requests that were refused.
 */
export class V3Auth {
  readonly #rules: V3Rules;
  #enabled: boolean;
  #revision: bigint;
  readonly #users = new Map<string, MutableUser>();
  readonly #roles = new Map<string, Granted[]>();
  readonly #allowed = new Map<string, PermissionTree>();
  /** Passwords set by an etcd older than 3.5: its log has no hash of them. */
  lostPasswords = 0;

  /** @param revision etcd's auth revision, 0n where authentication was never used */
  constructor(data: AuthData | undefined, revision: bigint, rules: V3Rules) {
    this.#rules = rules;
    this.#enabled = data?.enabled ?? false;
    // etcd begins to count when it starts (NewAuthStore).
    this.#revision = revision === 0n ? 1n : revision;
    for (const { name, roles, passwordHash, noPassword } of data?.users ?? []) {
      this.#users.set(name, { roles: [...roles], passwordHash, noPassword: noPassword ?? false });
    }
    for (const { name, permissions } of data?.roles ?? []) this.#roles.set(name, permissions.map(grantedOf));
  }

  /** Counts the changes of users and roles; every request tells the count that its member had. */
  get revision(): bigint {
    return this.#revision;
  }

  /** Permissions of a type that etcd does not know, which no archive can hold. */
  get unknownPermissions(): number {
    let count = 0;
    for (const permissions of this.#roles.values()) for (const { type } of permissions) if (PERMISSION_TYPES[type] === undefined) count++;
    return count;
  }

  data(): AuthData | undefined {
    if (!this.#enabled && this.#users.size === 0 && this.#roles.size === 0) return undefined;
    const byName = ([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number => Buffer.from(a).compare(Buffer.from(b));
    const users = [...this.#users].sort(byName).map(([name, { roles, passwordHash, noPassword }]): User => {
      return { name, roles, noPassword, ...(passwordHash === undefined ? {} : { passwordHash }) };
    });
    const roles = [...this.#roles].sort(byName).map(([name, permissions]): Role => ({ name, permissions: permissions.flatMap(shownOf) }));
    return { enabled: this.#enabled, users, roles };
  }

  /** True where authentication is off, or the user has the role `root`. */
  isAdmin({ user }: Requester): boolean {
    return !this.#enabled || this.#users.get(user)?.roles.includes(ROOT) === true;
  }

  /** Whether a request may read or write all keys of a range (isOpPermitted). */
  judge(requester: Requester, access: 'read' | 'write', range: KeyRange): Verdict {
    if (!this.#enabled) return 'permitted';
    if (requester.authRevision === 0n) return 'denied';
    if (requester.authRevision < this.#revision) return 'outdated';
    if (!this.#users.has(requester.user)) return 'denied';
    return this.isAdmin(requester) || this.#permissionsOf(requester.user, access).permits(range) ? 'permitted' : 'denied';
  }

  /**
   * Does what an operation on users and roles does, if etcd would not refuse it.
   *
   * @param judged false while etcd applies operations without asking who may (an alarm, up to 3.5)
   */
  apply({ field, message }: AuthOperation, requester: Requester, judged: boolean): AuthOutcome {
    if (judged && !this.isAdmin(requester)) return 'refused';
    const fields = textFields(message);
    const [first = EMPTY, second = EMPTY] = [fields[1], fields[2]];
    if (field === 1000) return this.#enable();
    if (field === 1203 && fields[2] === undefined)
      return this.#rules.diesOfEmptyGrants && this.#roles.has(first.toString()) ? 'kills-etcd' : 'refused';
    if (!this.#change(field, first.toString(), second, fields)) return 'refused';
    this.#allowed.clear();
    this.#revision++;
    return 'done';
  }

  #enable(): AuthOutcome {
    if (this.#users.get(ROOT)?.roles.includes(ROOT) !== true) return 'refused';
    this.#enabled = true;
    return 'done';
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
    const noPassword = firstNumber(fields[3] ?? EMPTY) !== 0;
    if (name === '' || this.#users.has(name) || (!noPassword && this.#isTooLong(password, fields[4]))) return false;
    this.#users.set(name, { roles: [], passwordHash: noPassword ? undefined : this.#hashOf(password, fields[4]), noPassword });
    return true;
  }

  #changePassword(name: string, password: Buffer, hashed: Buffer | undefined): boolean {
    const user = this.#users.get(name);
    if (user === undefined || this.#isTooLong(password, hashed)) return false;
    user.passwordHash = user.noPassword ? undefined : this.#hashOf(password, hashed);
    return true;
  }

  /** bcrypt looks at 72 bytes; later releases of it refuse more. */
  #isTooLong(password: Buffer, hashed: Buffer | undefined): boolean {
    return this.#rules.refusesLongPasswords && (hashed === undefined || hashed.length === 0) && password.length > BCRYPT_BYTES;
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

  /** etcd looks at the first permission of that key alone: where its end is another, the new one is put beside what is there. */
  #grantPermission(role: string, message: Buffer): boolean {
    const permissions = this.#roles.get(role);
    const granted = decodeGrant(message);
    if (permissions === undefined || (this.#rules.refusesInvalidGrants && !isValidGrant(granted))) return false;
    const at = permissions.findIndex(({ key }) => key.compare(granted.key) >= 0);
    const first = permissions[at];
    if (first?.key.equals(granted.key) === true && first.rangeEnd.equals(granted.rangeEnd)) {
      this.#roles.set(role, permissions.with(at, granted));
    } else {
      this.#roles.set(
        role,
        [...permissions, granted].sort((a, b) => a.key.compare(b.key)),
      );
    }
    return true;
  }

  #revokePermission(role: string, key: Buffer, rangeEnd: Buffer): boolean {
    const permissions = this.#roles.get(role);
    const kept = permissions?.filter((other) => !(other.key.equals(key) && other.rangeEnd.equals(rangeEnd)));
    if (permissions === undefined || kept === undefined || kept.length === permissions.length) return false;
    this.#roles.set(role, kept);
    return true;
  }

  #permissionsOf(user: string, access: 'read' | 'write'): PermissionTree {
    const cached = this.#allowed.get(`${access} ${user}`);
    if (cached !== undefined) return cached;
    const tree = new PermissionTree();
    for (const role of this.#users.get(user)?.roles ?? []) {
      for (const { type, key, rangeEnd } of this.#roles.get(role) ?? []) {
        const known = PERMISSION_TYPES[type];
        if (known === access || known === 'readwrite') tree.add(rangeOf(key, rangeEnd));
      }
    }
    this.#allowed.set(`${access} ${user}`, tree);
    return tree;
  }
}

/**
 * Whether later releases refuse a grant that earlier ones take.
 *
 * @param message an AuthRoleGrantPermissionRequest
 */
export function isContestedGrant(message: Buffer): boolean {
  const permission = textFields(message)[2];
  return permission === undefined || !isValidGrant(decodeGrant(permission));
}

/** Whether the log has a password itself that is longer than bcrypt looks at. @param message an AuthUserAddRequest or AuthUserChangePasswordRequest */
export function hasLongPassword(message: Buffer): boolean {
  return (textFields(message)[2] ?? EMPTY).length > BCRYPT_BYTES;
}

/** isValidPermissionRange: a key, and an end that is empty, after the key, or a zero byte for all from there on. */
function isValidGrant({ key, rangeEnd }: Granted): boolean {
  if (key.length === 0) return false;
  return rangeEnd.length === 0 || key.compare(rangeEnd) < 0 || (rangeEnd.length === 1 && rangeEnd[0] === 0);
}

function decodeGrant(message: Buffer): Granted {
  const [, , key = EMPTY, rangeEnd = EMPTY] = textFields(message);
  return { type: firstNumber(message), key: Buffer.from(key), rangeEnd: Buffer.from(rangeEnd) };
}

function grantedOf({ type, key, rangeEnd }: Permission): Granted {
  return { type: PERMISSION_TYPES.indexOf(type), key, rangeEnd };
}

function shownOf({ type, key, rangeEnd }: Granted): Permission[] {
  const known = PERMISSION_TYPES[type];
  return known === undefined ? [] : [{ type: known, key, rangeEnd }];
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
    found = Number(BigInt.asIntN(32, readVarint64(c)));
    return true;
  });
  return found;
}
