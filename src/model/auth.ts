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
