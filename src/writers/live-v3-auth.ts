import type { V3Cluster } from '../cluster/v3.js';
import { FerryError } from '../errors.js';
import type { AuthData, Permission, Role, User } from '../model/auth.js';
import type { NoteBook } from '../model/note.js';
import type { ConflictRule, Tally } from './live-v3-options.js';

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
  const roles = source.roles.flatMap((role): Addition<Role, Permission>[] => {
    const found = there.roles.find(({ name }) => name === role.name);
    const lack = role.permissions.filter((wanted) => !found?.permissions.some((has) => samePermission(wanted, has)));
    const extra = found === undefined ? 0 : found.permissions.length - (role.permissions.length - lack.length);
    if (extra > 0) differing.push(`role ${role.name}`);
    return wantedAddition(role, found !== undefined, lack, extra, onConflict);
  });
  const users = source.users.flatMap((user): Addition<User, string>[] => {
    const found = there.users.find(({ name }) => name === user.name);
    const lack = user.roles.filter((role) => !found?.roles.includes(role));
    const extra = found === undefined ? 0 : found.roles.length - (user.roles.length - lack.length);
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

function samePermission(a: Permission, b: Permission): boolean {
  return a.type === b.type && a.key.equals(b.key) && a.rangeEnd.equals(b.rangeEnd);
}

function inTheWay(differing: readonly string[]): FerryError {
  return new FerryError('in-the-way', `the target has other permissions or roles for ${differing.join(', ')}; nothing was written`, {
    hint: 'Choose --on-conflict skip or overwrite, or leave --with-auth out.',
  });
}
