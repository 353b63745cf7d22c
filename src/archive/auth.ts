import type { AuthData, Permission, Role, User } from '../model/auth.js';
import { asArray, asBase64, asBoolean, asObject, asOneOf, asText, checkCanonical, given, parseJson } from './json.js';

/** Writes `auth.json`; hashes and key ranges as base64, since they are bytes. */
export function encodeAuth(auth: AuthData): Buffer {
  const json = {
    ...given('enabled', auth.enabled),
    users: auth.users.map((user) => ({
      name: user.name,
      roles: user.roles,
      ...given('passwordHashBase64', user.passwordHash?.toString('base64')),
      ...given('noPassword', user.noPassword),
    })),
    roles: auth.roles.map((role) => ({
      name: role.name,
      permissions: role.permissions.map((permission) => ({
        type: permission.type,
        keyBase64: permission.key.toString('base64'),
        rangeEndBase64: permission.rangeEnd.toString('base64'),
      })),
    })),
  };
  return Buffer.from(`${JSON.stringify(json, null, 2)}\n`);
}

/** @throws FerryError `damaged` when it is not exactly as `encodeAuth` writes it */
export function parseAuth(bytes: Buffer, where: string): AuthData {
  const json = parseJson(bytes, where);
  const auth: AuthData = {
    enabled: json.enabled === undefined ? undefined : asBoolean(json.enabled, `${where}: enabled`),
    users: asArray(json.users, `${where}: users`).map((user) => parseUser(user, `${where}: users`)),
    roles: asArray(json.roles, `${where}: roles`).map((role) => parseRole(role, `${where}: roles`)),
  };
  checkCanonical(bytes, () => encodeAuth(auth), where);
  return auth;
}

function parseUser(value: unknown, where: string): User {
  const json = asObject(value, where);
  const hash = json.passwordHashBase64;
  const noPassword = json.noPassword;
  return {
    name: asText(json.name, `${where}: name`),
    roles: asArray(json.roles, `${where}: roles`).map((role) => asText(role, `${where}: roles`)),
    ...given('passwordHash', hash === undefined ? undefined : asBase64(hash, `${where}: passwordHashBase64`)),
    ...given('noPassword', noPassword === undefined ? undefined : asBoolean(noPassword, `${where}: noPassword`)),
  };
}

function parseRole(value: unknown, where: string): Role {
  const json = asObject(value, where);
  return {
    name: asText(json.name, `${where}: name`),
    permissions: asArray(json.permissions, `${where}: permissions`).map((item) => parsePermission(item, `${where}: permissions`)),
  };
}

function parsePermission(value: unknown, where: string): Permission {
  const json = asObject(value, where);
  return {
    type: asOneOf(json.type, ['read', 'write', 'readwrite'], `${where}: type`),
    key: asBase64(json.keyBase64, `${where}: keyBase64`),
    rangeEnd: asBase64(json.rangeEndBase64, `${where}: rangeEndBase64`),
  };
}
