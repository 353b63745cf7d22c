/** authpb.Permission.Type. */
export type PermissionType = 'read' | 'write' | 'readwrite';

/** One permission of a role: a key, or a range when `rangeEnd` is not empty. */
export interface Permission {
  readonly type: PermissionType;
  readonly key: Buffer;
  readonly rangeEnd: Buffer;
}

export interface Role {
  readonly name: string;
  readonly permissions: readonly Permission[];
}

export interface User {
  readonly name: string;
  readonly roles: readonly string[];
  /** bcrypt hash as etcd stores it; only files give it, never the API. */
  readonly passwordHash?: Buffer;
  /** True for a user that can only log in by certificate; undefined where the source cannot tell. */
  readonly noPassword?: boolean;
}

/** Users and roles, where a source gives them. */
export interface AuthData {
  /** Whether authentication was switched on; undefined where the source cannot tell. */
  readonly enabled: boolean | undefined;
  readonly users: readonly User[];
  readonly roles: readonly Role[];
}

/**
 * The role without what no etcd stores: from 3.6.0 on a server adds to what it tells of the role
 * `root` that it may read and write everything (server/auth/store.go, RoleGet), which none takes back.
 */
export function asStored(role: Role): Role {
  if (role.name !== 'root') return role;
  const isAdded = ({ type, key, rangeEnd }: Permission): boolean =>
    type === 'readwrite' && key.length === 0 && rangeEnd.length === 1 && rangeEnd[0] === 0;
  return { ...role, permissions: role.permissions.filter((permission) => !isAdded(permission)) };
}

/** Users and roles as etcd stores them, out of archives that were made when `asStored` was not known. */
export function authAsStored(auth: AuthData): AuthData {
  return { ...auth, roles: auth.roles.map(asStored) };
}
