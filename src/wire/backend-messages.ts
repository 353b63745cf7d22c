import { FerryError } from '../errors.js';
import type { Permission, PermissionType, Role, User } from '../model/auth.js';
import { encodeFields, type Field } from './fields.js';
import { type Cursor, cursor, readBytes, readInt64, readVarint, readVarint64, skipField } from './varint.js';

const EMPTY: Buffer = Buffer.alloc(0);
const PERMISSION_TYPES: readonly PermissionType[] = ['read', 'write', 'readwrite'];

/** `leasepb.Lease` (lease/leasepb/lease.proto); seconds. */
export interface StoredLease {
  readonly id: bigint;
  readonly ttl: bigint;
  /** Kept by servers that persist checkpoints; else 0. */
  readonly remainingTtl: bigint;
}

/** @throws FerryError `damaged` */
export function decodeLease(bytes: Buffer): StoredLease {
  const lease = { id: 0n, ttl: 0n, remainingTtl: 0n };
  eachField(bytes, {
    8: (c) => {
      lease.id = readInt64(c);
    },
    16: (c) => {
      lease.ttl = readInt64(c);
    },
    24: (c) => {
      lease.remainingTtl = readInt64(c);
    },
  });
  return lease;
}

/** `etcdserverpb.AlarmMember` (etcd rpc.proto). */
export interface StoredAlarm {
  readonly memberId: bigint;
  /** 1 NOSPACE, 2 CORRUPT. */
  readonly alarm: number;
}

/** @throws FerryError `damaged` */
export function decodeAlarm(bytes: Buffer): StoredAlarm {
  const alarm = { memberId: 0n, alarm: 0 };
  eachField(bytes, {
    8: (c) => {
      alarm.memberId = readVarint64(c);
    },
    16: (c) => {
      alarm.alarm = readVarint(c);
    },
  });
  return alarm;
}

export function encodeLease({ id, ttl, remainingTtl }: StoredLease): Buffer {
  return encodeFields([
    [0x08, id],
    [0x10, ttl],
    [0x18, remainingTtl],
  ]);
}

/**
 * Decodes an `authpb.User` (api/authpb/auth.proto).
 *
 * @throws FerryError `damaged`
 */
export function decodeUser(bytes: Buffer): User {
  let name = '';
  let passwordHash = EMPTY;
  let noPassword = false;
  const roles: string[] = [];
  eachField(bytes, {
    10: (c) => {
      name = readBytes(c).toString();
    },
    18: (c) => {
      passwordHash = Buffer.from(readBytes(c));
    },
    26: (c) => {
      roles.push(readBytes(c).toString());
    },
    34: (c) => {
      eachField(readBytes(c), {
        8: (inner) => {
          noPassword = readVarint(inner) !== 0;
        },
      });
    },
  });
  return { name, roles, noPassword, ...(passwordHash.length > 0 ? { passwordHash } : {}) };
}

/** Encodes an `authpb.User`; etcd wants its roles in order. */
export function encodeUser(user: User): Buffer {
  const noPassword = user.noPassword ?? false;
  const roles = [...user.roles].map((role) => Buffer.from(role)).sort(Buffer.compare);
  const options = encodeFields([[0x08, noPassword ? 1n : 0n]]);
  const head: Field[] = [[0x0a, Buffer.from(user.name)], [0x12, user.passwordHash ?? EMPTY], ...roles.map((role): Field => [0x1a, role])];
  // etcd writes the options of every user it has made, empty ones too.
  return Buffer.concat([encodeFields(head), Buffer.from([0x22, options.length]), options]);
}

/**
 * Decodes an `authpb.Role`.
 *
 * @throws FerryError `damaged`
 */
export function decodeRole(bytes: Buffer): Role {
  let name = '';
  const permissions: Permission[] = [];
  eachField(bytes, {
    10: (c) => {
      name = readBytes(c).toString();
    },
    18: (c) => {
      permissions.push(decodePermission(readBytes(c)));
    },
  });
  return { name, permissions };
}

/** Encodes an `authpb.Role`. */
export function encodeRole(role: Role): Buffer {
  return encodeFields([
    [0x0a, Buffer.from(role.name)],
    ...role.permissions.map((permission): Field => [0x12, encodePermission(permission)]),
  ]);
}

function decodePermission(bytes: Buffer): Permission {
  let type = 0;
  let key = EMPTY;
  let rangeEnd = EMPTY;
  eachField(bytes, {
    8: (c) => {
      type = readVarint(c);
    },
    18: (c) => {
      key = Buffer.from(readBytes(c));
    },
    26: (c) => {
      rangeEnd = Buffer.from(readBytes(c));
    },
  });
  const known = PERMISSION_TYPES[type];
  if (known === undefined) throw new FerryError('damaged', `a role has a permission of type ${type}; 0 to 2 are known`);
  return { type: known, key, rangeEnd };
}

function encodePermission({ type, key, rangeEnd }: Permission): Buffer {
  return encodeFields([
    [0x08, BigInt(PERMISSION_TYPES.indexOf(type))],
    [0x12, key],
    [0x1a, rangeEnd],
  ]);
}

/** Calls the reader of each field's tag; fields of other tags are stepped over. */
function eachField(bytes: Buffer, readers: Readonly<Record<number, (c: Cursor) => void>>): void {
  const c = cursor(bytes);
  while (c.at < c.end) {
    const tag = readVarint(c);
    const reader = readers[tag];
    if (tag < 8) throw new FerryError('damaged', 'a protobuf field has number 0');
    if (reader !== undefined) reader(c);
    else skipField(c, tag & 7);
  }
}
