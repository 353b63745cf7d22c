import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { base64, v3 } from './v3-workload.js';

type Json = Record<string, unknown>;

const KEYS = ['a', 'a1', 'a2', 'b', 'b\0', 'b\xff', 'c/x', 'c/y', 'd', '\xff\xfe'];
const ENDS = ['', '', '\0', 'a2', 'b', 'c', 'c0', 'zz'];
const VALUES = ['', 'v', 'w', '\0\xff', 'x'.repeat(300)];
const LEASES = ['1001', '1002', '1003', '9999'];
const USERS = ['alice', 'bob', 'carol'];
const ROLES = ['r1', 'r2', 'r3'];
const TYPES = ['READ', 'WRITE', 'READWRITE'];
const NOBODY = '';

/** Flags for an etcd whose tokens carry the auth revision of the login, so that a later change outdates them. */
export function jwtFlags(dir: string): string[] {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const [publicFile, privateFile] = [join(dir, 'jwt.pub'), join(dir, 'jwt.key')];
  const pem = (key: KeyObject, type: 'spki' | 'pkcs8'): string => key.export({ type, format: 'pem' }).toString();
  writeFileSync(publicFile, pem(publicKey, 'spki'));
  writeFileSync(privateFile, pem(privateKey, 'pkcs8'), { mode: 0o600 });
  return ['--auth-token', `jwt,pub-key=${publicFile},priv-key=${privateFile},sign-method=RS256,ttl=10m`];
}

/**
 * Random operations of several users on a server: writes, nested transactions with reads of any revision, leases, permissions
 * (invalid ones too), authentication on and off, alarms, compactions. Many are refused, before the log or after it.
 */
export class TailWorkload {
  readonly #endpoint: string;
  readonly #below: (n: number) => number;
  readonly #tokens = new Map<string, string>();
  #member = '0';
  #revision = 1;

  constructor(endpoint: string, below: (n: number) => number) {
    this.#endpoint = endpoint;
    this.#below = below;
  }

  /** Makes users, roles and keys, and, for most seeds, turns authentication on. */
  async begin(): Promise<void> {
    const first = await this.#call('kv/put', { key: base64('a'), value: base64('first') }, NOBODY);
    this.#member = (first.header as { member_id: string }).member_id;
    for (const name of ['root', ...USERS]) await this.#call('auth/user/add', { name, password: name }, NOBODY);
    for (const name of ['root', ...ROLES]) await this.#call('auth/role/add', { name }, NOBODY);
    await this.#call('auth/user/grant', { user: 'root', role: 'root' }, NOBODY);
    for (let i = 0; i < 8; i++) await this.#auth(NOBODY, 2 + this.#below(2));
    for (let i = 0; i < 20; i++) await this.#operation(NOBODY);
    if (this.#below(5) > 0) await this.#call('auth/enable', {}, NOBODY);
  }

  /** Does some random operations, a few at once. */
  async step(): Promise<void> {
    const many = this.#below(4) === 0 ? 4 : 1;
    await Promise.all(Array.from({ length: many }, () => this.#operation(this.#user())));
  }

  /** A token for a user, a new one unless there was one before; undefined where none is to be had. */
  async token(user: string): Promise<string | undefined> {
    if (user === NOBODY) return undefined;
    const known = this.#tokens.get(user);
    if (known !== undefined) return known;
    const { token } = await v3(this.#endpoint, 'auth/authenticate', { name: user, password: user });
    if (typeof token === 'string') this.#tokens.set(user, token);
    return token as string | undefined;
  }

  async #call(method: string, body: Json, user: string): Promise<Json> {
    const answer = await v3(this.#endpoint, method, body, await this.token(user));
    if (/invalid auth token|revision of auth store is old/.test(JSON.stringify(answer)) && this.#below(3) > 0) this.#tokens.delete(user);
    const revision = Number((answer.header as Json | undefined)?.revision ?? 0);
    if (revision > this.#revision) this.#revision = revision;
    return answer;
  }

  #operation(user: string): Promise<Json> {
    const kind = this.#below(40);
    if (kind < 4) return this.#auth(this.#below(3) > 0 ? 'root' : user, this.#below(12));
    if (kind < 7) return this.#call('lease/grant', { ID: this.#pick(LEASES.slice(0, 3)), TTL: this.#pick(['1000', '5000', '1']) }, user);
    if (kind === 7) return this.#call('lease/revoke', { ID: this.#pick(LEASES) }, user);
    if (kind === 8) return this.#alarm(user);
    if (kind === 9 && this.#below(3) === 0) return this.#call('kv/compaction', { revision: String(this.#below(this.#revision + 2)) }, user);
    if (kind < 14) return this.#call('kv/deleterange', { ...this.#range(), prev_kv: this.#below(4) === 0 }, user);
    if (kind < 22) return this.#call('kv/put', this.#put(), user);
    return this.#call('kv/txn', this.#txn(0), user);
  }

  /** An alarm of this member or of another; CORRUPT, which stops all, is soon taken back. */
  async #alarm(user: string): Promise<Json> {
    const memberID = this.#below(4) === 0 ? '77' : this.#member;
    if (this.#below(8) === 0) {
      await this.#call('maintenance/alarm', { action: 'ACTIVATE', memberID, alarm: 'CORRUPT' }, 'root');
      for (let i = this.#below(4); i > 0; i--) await this.#call('kv/put', this.#put(), user);
      if (this.#below(3) === 0) await this.#call('maintenance/alarm', { action: 'ACTIVATE', memberID, alarm: 'NOSPACE' }, 'root');
      return this.#call('maintenance/alarm', { action: 'DEACTIVATE', memberID, alarm: 'CORRUPT' }, 'root');
    }
    const action = this.#below(3) > 0 ? 'DEACTIVATE' : 'ACTIVATE';
    return this.#call('maintenance/alarm', { action, memberID, alarm: 'NOSPACE' }, 'root');
  }

  #auth(user: string, kind: number): Promise<Json> {
    const [name, role] = [this.#pick(USERS), this.#pick(ROLES)];
    const call = (method: string, body: Json): Promise<Json> => this.#call(`auth/${method}`, body, user);
    switch (kind) {
      case 0:
        return this.#below(3) > 0 ? call('enable', {}) : call('disable', {});
      case 1:
        return call('user/add', { name: this.#below(5) === 0 ? '' : name, password: name, options: { noPassword: this.#below(6) === 0 } });
      case 2:
        return call('user/grant', { user: name, role: this.#pick([...ROLES, 'none']) });
      case 3:
      case 4:
      case 5:
        return call('role/grant', { name: role, perm: this.#permission() });
      case 6:
        return call('role/revoke', { role, ...this.#keyAndEnd() });
      case 7:
        return call('user/revoke', { name, role });
      case 8:
        return this.#below(3) === 0
          ? call('user/delete', { name: this.#pick([...USERS, 'root']) })
          : call('user/changepw', { name, password: name });
      case 9:
        return this.#below(3) === 0 ? call('role/delete', { role: this.#pick([...ROLES, 'root']) }) : call('role/add', { name: role });
      default:
        return call('role/grant', { name: role, perm: this.#permission() });
    }
  }

  /** Few keys, so that permissions meet; a range may end before it begins, or have no key. */
  #permission(): Json {
    return { permType: this.#pick(TYPES), ...this.#keyAndEnd() };
  }

  #keyAndEnd(): Json {
    const key = this.#below(25) === 0 ? '' : this.#pick(KEYS);
    return { key: base64(key), range_end: base64(this.#pick(ENDS)) };
  }

  #user(): string {
    return this.#pick(['root', ...USERS, ...USERS, NOBODY]);
  }

  #pick<T>(list: readonly T[]): T {
    return list[this.#below(list.length)] as T;
  }

  #put(): Json {
    const put: Json = { key: base64(this.#pick(KEYS)), prev_kv: this.#below(4) === 0 };
    if (this.#below(6) === 0) put.ignore_value = true;
    else put.value = base64(this.#pick(VALUES));
    if (this.#below(6) === 0) put.ignore_lease = true;
    else if (this.#below(3) === 0) put.lease = this.#pick(LEASES);
    return put;
  }

  /** Deletes by themselves may end before they begin; with a zero byte as its end, a put in the same transaction may kill etcd. */
  #range(ends: readonly string[] = ENDS): Json {
    const key = this.#pick(KEYS);
    return this.#below(3) > 0 ? { key: base64(key) } : { key: base64(key), range_end: base64(this.#pick([...ends, `${key}\0`])) };
  }

  #read(): Json {
    const revision =
      this.#below(3) === 0 ? this.#pick([1, this.#below(this.#revision + 1), this.#revision, this.#revision + 3, 99999, -5]) : 0;
    return { ...this.#range(), revision: String(revision), limit: String(this.#below(3)) };
  }

  #compare(): Json {
    const target = this.#pick(['VERSION', 'CREATE', 'MOD', 'VALUE', 'LEASE']);
    const number = String(this.#below(3) === 0 ? this.#below(this.#revision + 1) : this.#below(2));
    const fields: Record<string, Json> = {
      VERSION: { version: number },
      CREATE: { create_revision: number },
      MOD: { mod_revision: number },
      VALUE: { value: base64(this.#pick(VALUES)) },
      LEASE: { lease: this.#pick(['0', ...LEASES]) },
    };
    return { ...this.#range(), result: this.#pick(['EQUAL', 'GREATER', 'LESS', 'NOT_EQUAL']), target, ...fields[target] };
  }

  #txn(depth: number): Json {
    const many = (n: number, make: () => Json): Json[] => Array.from({ length: this.#below(n) }, make);
    const op = (): Json => {
      const kind = this.#below(depth < 3 ? 10 : 7);
      if (kind < 4) return { request_put: this.#put() };
      if (kind === 4) return { request_delete_range: this.#range(ENDS.filter((end) => end !== '\0')) };
      if (kind < 7) return { request_range: this.#read() };
      return { request_txn: this.#txn(depth + 1) };
    };
    return { compare: many(2, () => this.#compare()), success: many(4, op), failure: many(3, op) };
  }
}
