import type { V3Cluster } from '../cluster/v3.js';
import { FerryError } from '../errors.js';
import type { AuthData, Permission, Role, User } from '../model/auth.js';
import type { NoteBook } from '../model/note.js';
import type { ConflictRule, Tally } from './live-v3-options.js';

/** Of roles and users that differ, so many are named. */
const NAMED = 10;

/** What is missing of the source's roles and users in the target. */
export interface AuthPlan {
  readonly roles: readonly Addition<Role, Permission>[];
  readonly users: readonly Addition<User, string>[];
}

/** A role or user, and what to give it: permissions or roles. */
interface Addition<T, G> {
  readonly what: T;
  /** False when it is there already, and only lacks some of what it should have. */
  readonly isNew: boolean;
  readonly give: readonly G[];
}

/**
 * Compares the source's roles and users with the target's; changes nothing. One that is there with
 * the same permissions or roles is left alone; one that only lacks some is given them, as after a
 * run that was cut short. One that has others too differs: under the rule `overwrite` it is given
 * what it lacks, and nothing is taken from it.
 *
 * @throws FerryError `in-the-way` under the rule `fail` when one differs; `unauthorized` when the
 *   target's roles and users may not be listed
 */
export async function planAuth(source: AuthData, cluster: V3Cluster, onConflict: ConflictRule, notes: NoteBook): Promise<AuthPlan> {
  const there = await cluster.authData();
  if (there === undefined) {
    throw new FerryError('unauthorized', 'the roles and users of the target cannot be listed', {
      hint: 'Use a user with the root role, or leave --with-auth out.',
    });
  }
  const differing: string[] = [];
  // By name, and by what each has: there may be a user for every device, and a permission for every user.
  const rolesThere = new Map(there.roles.map(({ name, permissions }) => [name, new Set(permissions.map(permissionText))]));
  const usersThere = new Map(there.users.map(({ name, roles: has }) => [name, new Set(has)]));
  const roles = source.roles.flatMap((role): Addition<Role, Permission>[] => {
    const found = rolesThere.get(role.name);
    const lack = role.permissions.filter((wanted) => found?.has(permissionText(wanted)) !== true);
    const extra = found === undefined ? 0 : found.size - (role.permissions.length - lack.length);
    if (extra > 0) differing.push(`role ${role.name}`);
    return wantedAddition(role, found !== undefined, lack, extra, onConflict);
  });
  const users = source.users.flatMap((user): Addition<User, string>[] => {
    const found = usersThere.get(user.name);
    const lack = user.roles.filter((role) => found?.has(role) !== true);
    const extra = found === undefined ? 0 : found.size - (user.roles.length - lack.length);
    if (extra > 0) differing.push(`user ${user.name}`);
    return wantedAddition(user, found !== undefined, lack, extra, onConflict);
  });
  if (differing.length > 0 && onConflict === 'fail') throw inTheWay(differing);
  for (const example of differing) {
    if (onConflict === 'skip') notes.add('auth-skipped', 'roles and users differ in the target and were left alone', { example });
    else
      notes.add('auth-extended', 'roles and users differ in the target and were given what they lacked; nothing was taken from them', {
        example,
      });
  }
  if (source.enabled === true && there.enabled !== true) {
    notes.add('auth-not-enabled', 'authentication was on in the source; in the target it is not switched on (etcdctl auth enable)');
  }
  return { roles, users };
}

function wantedAddition<T, G>(what: T, isThere: boolean, give: readonly G[], extra: number, onConflict: ConflictRule): Addition<T, G>[] {
  if (isThere && give.length === 0) return [];
  return extra > 0 && onConflict !== 'overwrite' ? [] : [{ what, isNew: !isThere, give }];
}

/** Carries the plan out: roles first, since users refer to them. */
export async function writeAuth(plan: AuthPlan, cluster: V3Cluster, tally: Tally, notes: NoteBook): Promise<void> {
  for (const { what, isNew, give } of plan.roles) {
    if (isNew) await cluster.roleAdd(what.name);
    for (const permission of give) await cluster.rolePermit(what.name, permission);
    if (isNew) tally.rolesAdded++;
  }
  for (const { what, isNew, give } of plan.users) {
    if (isNew) await addUser(what, cluster, notes);
    for (const role of give) await cluster.userGrant(what.name, role);
    if (isNew) tally.usersAdded++;
  }
}

async function addUser(user: User, cluster: V3Cluster, notes: NoteBook): Promise<void> {
  const hash = user.passwordHash === undefined || user.passwordHash.length === 0 ? {} : { passwordHash: user.passwordHash };
  const noPassword = user.noPassword === undefined ? {} : { noPassword: user.noPassword };
  const asWanted = await cluster.userAdd(user.name, { ...hash, ...noPassword });
  if (asWanted || user.noPassword === true) return;
  notes.add('user-without-password', 'users were made without a password and cannot log in with one (etcdctl user passwd)', {
    example: user.name,
  });
}

function permissionText({ type, key, rangeEnd }: Permission): string {
  return `${type} ${key.toString('base64')} ${rangeEnd.toString('base64')}`;
}

function inTheWay(differing: readonly string[]): FerryError {
  const more = differing.length > NAMED ? ` and ${differing.length - NAMED} more` : '';
  const named = `${differing.slice(0, NAMED).join(', ')}${more}`;
  return new FerryError('in-the-way', `the target has other permissions or roles for ${named}; nothing was written`, {
    hint: 'Choose --on-conflict skip or overwrite, or leave --with-auth out.',
  });
}
