import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type EtcdBinaries, EtcdServer, etcdWithV2 } from '../support/etcd.js';
import { type AgeKey, ageKey } from '../support/tools.js';
import { V2Client } from '../support/v2.js';
import { v3 } from '../support/v3-workload.js';
import type { Contents, Key } from './model.js';
import type { Tree, TreeNode } from './model-tree.js';
import { HIDDEN } from './plan-tree.js';
import { writeEncryptionConfiguration } from './sealing.js';

/** What stands in a target: a lease by its granted TTL. */
export type Observed = ReadonlyMap<Key, { readonly value: string; readonly ttl?: number; readonly leaseId?: string }>;

/** Of every user. */
export const PASSWORD = 'pw';

/** One real etcd that combination after combination uses, told by etcd's own JSON gateway. */
export class V3Ground {
  readonly server: EtcdServer;
  #compacted = 0;
  #mayHaveUsers = true;
  /** Of root, while authentication is on. */
  #token: string | undefined;

  constructor(server: EtcdServer) {
    this.server = server;
  }

  get endpoint(): string {
    return this.server.endpoint;
  }

  /** Removes all there is, leases and users too, and forgets the revisions before. */
  async wipe(): Promise<void> {
    if (this.#mayHaveUsers) await this.#forgetUsers();
    const { leases = [] } = (await this.#call('lease/leases', {})) as { leases?: { ID: string }[] };
    await Promise.all(leases.map(({ ID }) => this.#call('lease/revoke', { ID })));
    const answer = (await this.#call('kv/deleterange', { key: base64('\0'), range_end: base64('\0') })) as { header: { revision: string } };
    const revision = Number(answer.header.revision);
    if (revision < this.#compacted + 500) return;
    await this.#call('kv/compaction', { revision: String(revision) });
    this.#compacted = revision;
  }

  /** Writes keys, each half of them in one transaction, and grants their leases. */
  async fill(contents: Contents): Promise<void> {
    const leases = new Map([...contents.values()].flatMap(({ lease }) => (lease === undefined ? [] : [[lease.id, lease.ttl]])));
    await Promise.all([...leases].map(([id, ttl]) => this.#grant(id, ttl)));
    const puts = [...contents].map(([key, { value, lease }]) => ({
      request_put: { key: base64(key), value: base64(value), ...(lease === undefined ? {} : { lease: lease.id }) },
    }));
    const half = Math.ceil(puts.length / 2);
    for (const success of [puts.slice(0, half), puts.slice(half)]) if (success.length > 0) await this.#call('kv/txn', { success });
  }

  async #grant(id: string, ttl: number): Promise<void> {
    const { grantedTTL } = (await this.#call('lease/timetolive', { ID: id })) as { grantedTTL?: string };
    if (grantedTTL === undefined) await this.#call('lease/grant', { ID: id, TTL: String(ttl) });
  }

  async observe(): Promise<Observed> {
    const { kvs = [] } = (await this.#call('kv/range', { key: base64('\0'), range_end: base64('\0') })) as { kvs?: GatewayRecord[] };
    const ttls = new Map<string, number>();
    const seen = new Map<Key, { value: string; ttl?: number; leaseId?: string }>();
    for (const { key, value = '', lease } of kvs) {
      if (lease !== undefined && !ttls.has(lease)) ttls.set(lease, await this.#grantedTtl(lease));
      seen.set(latin1(key), { value: latin1(value), ...(lease === undefined ? {} : { ttl: ttls.get(lease) as number, leaseId: lease }) });
    }
    return seen;
  }

  async revision(): Promise<string> {
    const answer = (await this.#call('kv/range', { key: base64('\0'), count_only: true })) as { header: { revision: string } };
    return answer.header.revision;
  }

  /** Makes a user whose role may do so much under a prefix; `etcdctl get --prefix` asks for just this range. */
  async addUser(name: string, permission: 'READ' | 'READWRITE', prefix: Key): Promise<void> {
    this.#mayHaveUsers = true;
    const end = prefix.slice(0, -1) + String.fromCharCode(prefix.charCodeAt(prefix.length - 1) + 1);
    await this.#call('auth/role/add', { name: `${name}-role` });
    await this.#call('auth/role/grant', {
      name: `${name}-role`,
      perm: { permType: permission, key: base64(prefix), range_end: base64(end) },
    });
    await this.#call('auth/user/add', { name, password: PASSWORD });
    await this.#call('auth/user/grant', { user: name, role: `${name}-role` });
  }

  /** Turns authentication on while something is done by a user, who is gone again afterwards. */
  async whileAuthenticated<T>(user: string, work: () => Promise<T>): Promise<T> {
    await this.#call('auth/role/add', { name: 'root' });
    await this.#call('auth/user/add', { name: 'root', password: PASSWORD });
    await this.#call('auth/user/grant', { user: 'root', role: 'root' });
    await this.#call('auth/enable', {});
    this.#token = ((await this.#call('auth/authenticate', { name: 'root', password: PASSWORD })) as { token: string }).token;
    try {
      return await work();
    } finally {
      await this.#call('auth/disable', {});
      this.#token = undefined;
      for (const name of [user, 'root']) await this.#call('auth/user/delete', { name });
      for (const role of [`${user}-role`, 'root']) await this.#call('auth/role/delete', { role });
    }
  }

  /** Users and roles, by name. */
  async users(): Promise<string> {
    const { users = [] } = (await this.#call('auth/user/list', {})) as { users?: string[] };
    const { roles = [] } = (await this.#call('auth/role/list', {})) as { roles?: string[] };
    this.#mayHaveUsers = users.length + roles.length > 0;
    return [...users.map((name) => `user ${name}`), ...roles.map((name) => `role ${name}`)].sort().join(', ');
  }

  async #forgetUsers(): Promise<void> {
    const { users = [] } = (await this.#call('auth/user/list', {})) as { users?: string[] };
    for (const name of users) await this.#call('auth/user/delete', { name });
    const { roles = [] } = (await this.#call('auth/role/list', {})) as { roles?: string[] };
    for (const role of roles) await this.#call('auth/role/delete', { role });
    this.#mayHaveUsers = false;
  }

  async #grantedTtl(lease: string): Promise<number> {
    const { grantedTTL = '-1' } = (await this.#call('lease/timetolive', { ID: lease })) as { grantedTTL?: string };
    return Number(grantedTTL);
  }

  async #call(method: string, body: Record<string, unknown>): Promise<Record<string, unknown>> {
    const answer = await v3(this.endpoint, method, body, this.#token);
    if (answer.error !== undefined) throw new Error(`${method} ${JSON.stringify(body)}: ${JSON.stringify(answer)}`);
    return answer;
  }
}

interface GatewayRecord {
  readonly key: string;
  readonly value?: string;
  readonly lease?: string;
}

/** What stands in a v2 tree: TTLs as the server tells them, what remains. */
export type ObservedTree = Tree;

/** One real etcd that serves the v2 API. */
export class V2Ground {
  readonly server: EtcdServer;
  readonly #client: V2Client;

  constructor(server: EtcdServer) {
    this.server = server;
    this.#client = new V2Client(server.endpoint);
  }

  get endpoint(): string {
    return this.server.endpoint;
  }

  async wipe(): Promise<void> {
    await Promise.all((await this.#tops()).map((path) => this.#client.write('DELETE', path, 'recursive=true')));
  }

  /** Writes nodes, directories before what is in them. */
  async fill(tree: Tree): Promise<void> {
    const end = ({ ttl }: TreeNode): string => (ttl === undefined ? '' : `&ttl=${ttl}`);
    for (const [path, node] of [...tree].sort(([a], [b]) => a.length - b.length)) {
      if (node.dir && (node.ttl !== undefined || ![...tree.keys()].some((other) => other.startsWith(`${path}/`))))
        await this.#client.write('PUT', path, `dir=true${end(node)}`);
    }
    const files = [...tree].filter(([, { dir }]) => !dir);
    await Promise.all(files.map(([path, node]) => this.#client.put(path, node.value, end(node))));
  }

  async observe(): Promise<ObservedTree> {
    const tree = new Map<Key, TreeNode>();
    for (const path of ['/', ...HIDDEN]) {
      const { status, json } = await this.#client.send('GET', `/keys${path}?recursive=true&quorum=true`);
      if (status === 200) gather((json as unknown as { node: ApiNode }).node, tree);
    }
    return tree;
  }

  /** Counts every write. */
  async index(): Promise<string> {
    const answer = await fetch(`${this.endpoint}/v2/keys/?quorum=true`);
    await answer.arrayBuffer();
    return answer.headers.get('x-etcd-index') ?? '';
  }

  async #tops(): Promise<Key[]> {
    return [...(await this.observe()).keys()].filter((path) => path.lastIndexOf('/') === 0);
  }
}

interface ApiNode {
  readonly key?: string;
  readonly dir?: boolean;
  readonly value?: string;
  readonly ttl?: number;
  readonly nodes?: readonly ApiNode[];
}

function gather({ key, dir = false, value = '', ttl, nodes = [] }: ApiNode, tree: Map<Key, TreeNode>): void {
  if (key !== undefined && key !== '/') tree.set(key, { dir, value, ...(ttl === undefined ? {} : { ttl }) });
  for (const node of nodes) gather(node, tree);
}

/** All that combinations share: servers, keys, a directory. */
export interface Ground extends AsyncDisposable {
  readonly sources: readonly V3Ground[];
  readonly targets: readonly V3Ground[];
  readonly treeSource: V2Ground;
  readonly treeTarget: V2Ground;
  readonly directory: string;
  readonly age: AgeKey;
  readonly encryption: string;
  /** @throws Error when a server has ended: nothing that happens then says anything about us */
  expectServers(): void;
}

/** Starts two etcds of every version given, and two that serve v2. */
export async function startGround(versions: readonly EtcdBinaries[]): Promise<Ground> {
  const directory = mkdtempSync(join(tmpdir(), 'etcdferry-combinations-'));
  const start = async (etcd: EtcdBinaries): Promise<V3Ground> =>
    new V3Ground(await EtcdServer.start(etcd, { args: ['--snapshot-count', '500'] }));
  const [sources, targets] = await Promise.all([Promise.all(versions.map(start)), Promise.all(versions.map(start))]);
  const startTree = async (): Promise<V2Ground> =>
    new V2Ground(await EtcdServer.start(etcdWithV2(), { args: ['--enable-v2', '--snapshot-count', '500'] }));
  const [treeSource, treeTarget] = await Promise.all([startTree(), startTree()]);
  const encryption = join(directory, 'encryption.yaml');
  writeEncryptionConfiguration(encryption);
  const servers = [...sources, ...targets, treeSource, treeTarget].map(({ server }) => server);
  return {
    expectServers: () => {
      const ended = servers.find(({ process }) => process.exitCode !== null || process.signalCode !== null);
      if (ended !== undefined) throw new Error(`the etcd ${ended.etcd.version} on ${ended.endpoint} has ended`);
    },
    sources,
    targets,
    treeSource,
    treeTarget,
    directory,
    age: await ageKey(join(directory, 'key.txt')),
    encryption,
    [Symbol.asyncDispose]: async () => {
      await Promise.all(servers.map((server) => server.stop()));
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

function base64(text: string): string {
  return Buffer.from(text, 'latin1').toString('base64');
}

function latin1(text: string): string {
  return Buffer.from(text, 'base64').toString('latin1');
}
