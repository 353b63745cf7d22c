import { FerryError } from '../errors.js';
import type { TreeNode } from '../model/node.js';
import type { ClusterOptions } from './options.js';
import type { AnswerClock } from './v2-clock.js';
import { errorForAnswer, errorForRefusal, refusalIn, V2_REFUSAL, type V2Refusal } from './v2-errors.js';
import { type V2Answer, V2Http, type V2Request } from './v2-http.js';
import { clusterIdIn } from './v2-identity.js';
import { type ParsedNode, TreeParser } from './v2-tree-parser.js';
import { percentEncode } from './v2-url.js';
import { type Watched, watchOnce } from './v2-watch.js';

/**
 * etcd builds the whole answer for a tree before it sends the first byte: this many times the
 * command timeout is waited for it.
 */
const TREE_PATIENCE = 12;

/** The answer to a recursive read, its body yet to be taken. */
export interface TreeAnswer {
  readonly endpoint: string;
  /** X-Etcd-Index: the index of the store the tree was read at. */
  readonly index: bigint;
  /** X-Etcd-Cluster-Id; undefined where the server does not say it (2.0). */
  readonly clusterId: bigint | undefined;
  readonly clock: AnswerClock;
  /** There is no such directory; the JSON is that of one with nothing in it. */
  readonly isMissing: boolean;
  /** The JSON, as it comes. Ends without an error only when the HTTP answer was whole. */
  readonly body: AsyncIterable<Buffer>;
}

/** What is to be written at a path. */
export interface PutOptions {
  /** A directory instead of a value. */
  readonly dir?: boolean;
  readonly value?: Buffer;
  /** Seconds, above 0; permanent when left out. */
  readonly ttl?: bigint;
  /** Refuse when the node is there (false), or when it is not (true). */
  readonly prevExist?: boolean;
  /** Refuse when the file's modifiedIndex is another. */
  readonly prevIndex?: bigint;
}

/**
 * A connection to a cluster by the v2 API: fail-over between endpoints, redirects to the leader,
 * credentials. All failures are FerryErrors: `unreachable` when no endpoint gives an answer that
 * makes sense (none in time, no v2 API, no JSON, cut short, redirects without end), `unauthorized`
 * for refused credentials, `other-cluster` when an answer is not of the cluster that answered first, `not-found` for a path that is not there, `in-the-way` for a refused
 * write, `failed` for the rest. Expirations are by this machine's clock: where a server's is more than
 * two seconds apart (see ServerClock), they are set right.
 */
export interface V2Cluster {
  /** The endpoints, as the user may see them. */
  readonly location: string;
  /** Nanoseconds that the clock of the server that answered last is ahead of this machine's; 0n where they are not apart. */
  readonly clockOffset: () => bigint;
  /**
   * Reads what lies at and under `path`: recursive, sorted, and by quorum, so one answer is one
   * state of the store. `use` takes the answer, and is called again with another endpoint's when it
   * throws `unreachable`: it must begin anew then.
   *
   * @param path empty for all
   */
  readTree<T>(path: Buffer, use: (answer: TreeAnswer) => Promise<T>, signal?: AbortSignal): Promise<T>;
  /**
   * Reads what lies under a directory, as `readTree` does. It is asked for with a slash at its end, which a
   * permission of `/app/*` needs to cover it (etcd api/v2auth/auth.go, HasRecursiveAccess). One that is not
   * there is one with nothing in it, as is what is no directory.
   */
  readDirectory<T>(path: Buffer, use: (answer: TreeAnswer) => Promise<T>, signal?: AbortSignal): Promise<T>;
  /**
   * Waits for the first change at or under `path` with an index of `from` or higher. Of hidden nodes
   * under it changes are told that have happened already, but not those that are waited for.
   *
   * @param path empty for all
   * @param patience longest wait, in milliseconds
   */
  watch(path: Buffer, from: bigint, patience: number, signal?: AbortSignal): Promise<Watched>;
  /**
   * The store's index, as the server that is asked knows it.
   *
   * @param path of a directory that may be read; empty for the root
   * @returns undefined where the server does not tell it
   */
  storeIndex(path: Buffer, signal?: AbortSignal): Promise<bigint | undefined>;
  /** Looks at one node, by quorum; undefined when it is not there. Also finds a hidden one. */
  get(path: Buffer, signal?: AbortSignal): Promise<TreeNode | undefined>;
  /**
   * Writes a node.
   *
   * @returns undefined when done; etcd's refusal when the store as it is does not allow it
   */
  put(path: Buffer, options: PutOptions, signal?: AbortSignal): Promise<V2Refusal | undefined>;
  /**
   * Deletes a directory with nothing in it (`dir`), or a file whose modifiedIndex is `prevIndex`;
   * refused when the node is another.
   */
  remove(path: Buffer, what: { readonly dir: true } | { readonly prevIndex: bigint }, signal?: AbortSignal): Promise<V2Refusal | undefined>;
  /**
   * Users and roles, as the API's JSON has them; nothing but empty lists before etcd 2.1.
   *
   * @throws FerryError `unauthorized` when the user given is not root, and authentication is on
   */
  auth(
    signal?: AbortSignal,
  ): Promise<{ readonly enabled: boolean; readonly users: readonly unknown[]; readonly roles: readonly unknown[] }>;
  /** The server's version, where it tells. */
  version(signal?: AbortSignal): Promise<string | undefined>;
  close(): Promise<void>;
}

/** @returns a connection to a live v2 cluster; no request is made yet */
export function connectV2(options: ClusterOptions): V2Cluster {
  const http = new V2Http(options);
  return {
    location: options.endpoints.map((endpoint) => new URL(endpoint).origin).join(','),
    clockOffset: () => http.clockOffset,
    readTree: (path, use, signal) =>
      http.request(treeRequest(keysTarget(path), options, signal), async (answer) =>
        inContext(answer.endpoint, use(await treeAnswer(answer))),
      ),
    readDirectory: (path, use, signal) =>
      http.request(treeRequest(directoryTarget(path), options, signal), async (answer) =>
        inContext(answer.endpoint, use(await directoryAnswer(answer))),
      ),
    watch: (path, from, patience, signal) =>
      watchOnce(http, {
        target: `${keysTarget(path)}?wait=true&recursive=true&waitIndex=${from}`,
        // Sooner than the connection gives up on a body of which nothing comes.
        patience: Math.min(patience, 0.8 * options.commandTimeout),
        signal,
      }),
    storeIndex: (path, signal) =>
      http.request({ method: 'HEAD', target: directoryTarget(path), signal, agreed: false }, async (answer) => {
        await answer.discard();
        return indexIn(answer);
      }),
    get: (path, signal) =>
      http.request({ method: 'GET', target: `${keysTarget(path)}?quorum=true`, signal, agreed: true }, (answer) =>
        inContext(answer.endpoint, oneNode(answer)),
      ),
    put: (path, put, signal) =>
      http.request({ method: 'PUT', target: keysTarget(path), form: formOf(put), signal }, (answer) => refusalOf(answer)),
    remove: (path, what, signal) => {
      const query = 'dir' in what ? 'dir=true' : `prevIndex=${what.prevIndex}`;
      return http.request({ method: 'DELETE', target: `${keysTarget(path)}?${query}`, signal }, (answer) => refusalOf(answer));
    },
    auth: async (signal) => {
      const ask = (what: string): Promise<unknown> =>
        http.request({ method: 'GET', target: `/v2/auth/${what}`, signal }, (answer) => authAnswer(answer, what));
      const [users, roles, enabled] = [await ask('users'), await ask('roles'), await ask('enable')];
      return { enabled: enabled === true, users: Array.isArray(users) ? users : [], roles: Array.isArray(roles) ? roles : [] };
    },
    version: async (signal) => {
      const body = await http.request({ method: 'GET', target: '/version', signal }, (answer) => answer.short());
      return versionIn(body);
    },
    close: () => http.close(),
  };
}

function keysTarget(path: Buffer): string {
  return `/v2/keys${path.length === 0 ? '/' : percentEncode(path, '/').toString('latin1')}`;
}

function directoryTarget(path: Buffer): string {
  return path.length === 0 ? keysTarget(path) : `${keysTarget(path)}/`;
}

function treeRequest(target: string, { commandTimeout }: ClusterOptions, signal: AbortSignal | undefined): V2Request {
  return {
    method: 'GET',
    target: `${target}?recursive=true&sorted=true&quorum=true`,
    signal,
    patience: TREE_PATIENCE * commandTimeout,
    agreed: true,
  };
}

/** What etcd answers with for a tree that has nothing in it. */
const NOTHING = Buffer.from('{"action":"get","node":{"dir":true}}');

async function directoryAnswer(answer: V2Answer): Promise<TreeAnswer> {
  const index = indexIn(answer);
  if ((answer.status !== 404 && answer.status !== 400) || index === undefined) return treeAnswer(answer);
  const body = await answer.short();
  const code = refusalIn(body)?.errorCode;
  if (code !== V2_REFUSAL.keyNotFound && code !== V2_REFUSAL.notADirectory) throw errorForAnswer(answer.endpoint, answer.status, body);
  return { ...answerBy(answer, index), body: only(NOTHING), isMissing: true };
}

async function* only(chunk: Buffer): AsyncGenerator<Buffer> {
  yield chunk;
}

async function treeAnswer(answer: V2Answer): Promise<TreeAnswer> {
  const index = indexIn(answer);
  if (answer.status !== 200 || index === undefined) {
    throw errorForAnswer(answer.endpoint, answer.status, await answer.short());
  }
  return { ...answerBy(answer, index), body: answer.chunks(), isMissing: false };
}

function indexIn(answer: V2Answer): bigint | undefined {
  const index = answer.header('x-etcd-index');
  return index !== undefined && /^\d{1,20}$/.test(index) ? BigInt(index) : undefined;
}

/** What the head of an answer tells. */
function answerBy(answer: V2Answer, index: bigint): Omit<TreeAnswer, 'body' | 'isMissing'> {
  return {
    endpoint: answer.endpoint,
    index,
    clusterId: clusterIdIn({ 'x-etcd-cluster-id': answer.header('x-etcd-cluster-id') }),
    clock: answer.clock,
  };
}

/** Puts the endpoint before what is wrong with its answer. */
export async function inContext<T>(endpoint: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (thrown) {
    if (!(thrown instanceof FerryError) || thrown.code !== 'unreachable' || thrown.message.startsWith(endpoint)) throw thrown;
    throw new FerryError(thrown.code, `${endpoint}: ${thrown.message}`, { ...(thrown.hint && { hint: thrown.hint }), cause: thrown });
  }
}

async function oneNode(answer: V2Answer): Promise<TreeNode | undefined> {
  if (answer.status !== 200) {
    const body = await answer.short();
    if (refusalIn(body)?.errorCode === V2_REFUSAL.keyNotFound) return undefined;
    throw errorForAnswer(answer.endpoint, answer.status, body);
  }
  let found: TreeNode | undefined;
  let depth = 0;
  const keep = ({ path, dir, value, expiration, ttl }: ParsedNode, createdIndex: bigint, modifiedIndex: bigint): void => {
    if (depth > 0) return;
    const end = answer.clock.endOf(expiration, ttl);
    found = { path: Buffer.from(path), dir, value: Buffer.from(value), createdIndex, modifiedIndex, expiration: end };
  };
  const parser = new TreeParser({
    enter: (node) => {
      keep(node, 0n, 0n);
      depth++;
    },
    leave: (createdIndex, modifiedIndex) => {
      depth--;
      if (depth === 0 && found !== undefined) found = { ...found, createdIndex, modifiedIndex };
    },
    leaf: keep,
  });
  for await (const chunk of answer.chunks()) parser.push(chunk);
  parser.end();
  return found;
}

async function refusalOf(answer: V2Answer): Promise<V2Refusal | undefined> {
  if ((answer.status === 200 || answer.status === 201) && answer.header('x-etcd-index') !== undefined) {
    await answer.discard();
    return undefined;
  }
  const body = await answer.short();
  const refusal = refusalIn(body);
  if (refusal === undefined) throw errorForAnswer(answer.endpoint, answer.status, body);
  const expected = refusal.errorCode >= V2_REFUSAL.keyNotFound && refusal.errorCode <= V2_REFUSAL.directoryNotEmpty;
  if (!expected) throw errorForRefusal(answer.endpoint, refusal);
  return refusal;
}

/** The one field of an answer about users: `{"users": …}`, `{"roles": …}`, `{"enabled": …}`. */
async function authAnswer(answer: V2Answer, what: string): Promise<unknown> {
  const body = await answer.short();
  if (answer.status === 404) return undefined;
  if (answer.status !== 200) throw errorForAnswer(answer.endpoint, answer.status, body);
  try {
    return (JSON.parse(body.toString()) as Record<string, unknown>)[what === 'enable' ? 'enabled' : what];
  } catch {
    return undefined;
  }
}

function formOf(put: PutOptions): Buffer {
  const fields: Buffer[] = [Buffer.from('noValueOnSuccess=true')];
  if (put.dir === true) fields.push(Buffer.from('&dir=true'));
  if (put.ttl !== undefined) fields.push(Buffer.from(`&ttl=${put.ttl}`));
  if (put.prevExist !== undefined) fields.push(Buffer.from(`&prevExist=${put.prevExist}`));
  if (put.prevIndex !== undefined) fields.push(Buffer.from(`&prevIndex=${put.prevIndex}`));
  if (put.value !== undefined) fields.push(Buffer.from('&value='), percentEncode(put.value));
  return Buffer.concat(fields);
}

function versionIn(body: Buffer): string | undefined {
  try {
    const { etcdserver } = JSON.parse(body.toString()) as { etcdserver?: unknown };
    return typeof etcdserver === 'string' && etcdserver.length < 40 ? etcdserver : undefined;
  } catch {
    return undefined;
  }
}
