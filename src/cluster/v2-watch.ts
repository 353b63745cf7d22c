import { FerryError } from '../errors.js';
import type { TreeNode } from '../model/node.js';
import { errorForAnswer, refusalIn, V2_REFUSAL } from './v2-errors.js';
import type { V2Answer, V2Http } from './v2-http.js';
import { parseTime } from './v2-time.js';

/** Most bytes of one event: a value, the one before it, and both escaped as JSON. */
const LARGEST_EVENT = 64 << 20;
/** What Go's JSON encoder writes for a byte that is not UTF-8; a real U+FFFD stands there as it is. */
const LOST_BYTE = /(?<!\\)(?:\\\\)*\\ufffd/;

/** A change of a v2 store (etcd api/v2store/event.go). */
export interface V2Event {
  readonly action: 'set' | 'create' | 'update' | 'compareAndSwap' | 'delete' | 'compareAndDelete' | 'expire';
  /** The store's index of the change. */
  readonly index: bigint;
  /** The node as it is from now on; of one that is gone, its path and whether it was a directory. */
  readonly node: TreeNode;
  /** What was there before was a file; false also when it was nothing. */
  readonly replacesFile: boolean;
  /** A path or value in it has bytes that the API does not tell. */
  readonly bytesLost: boolean;
}

/** What waiting for a change ended in. */
export type Watched =
  | { readonly kind: 'event'; readonly event: V2Event; readonly storeIndex: bigint }
  /** Nothing came in the time given. */
  | { readonly kind: 'idle'; readonly storeIndex: bigint }
  /** The store has forgotten changes at the index asked for: it keeps a thousand (EcodeEventIndexCleared). */
  | { readonly kind: 'cleared' };

export interface WatchRequest {
  /** Path and query of the keys API. */
  readonly target: string;
  /** Longest wait, in milliseconds. */
  readonly patience: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Waits for the first change at an index or after it. Each answer brings one change: `stream=true`
 * would bring one from the history and then nothing more, since etcd does not add a watcher that was
 * served from there to its list (api/v2store/watcher_hub.go, watch).
 *
 * @throws FerryError as V2Cluster does
 */
export async function watchOnce(http: V2Http, { target, patience, signal }: WatchRequest): Promise<Watched> {
  const idle = new AbortController();
  let storeIndex = 0n;
  const timer = setTimeout(() => idle.abort(new FerryError('failed', 'no change came')), patience);
  try {
    const either = signal === undefined ? idle.signal : AbortSignal.any([idle.signal, signal]);
    return await http.request({ method: 'GET', target, signal: either }, async (answer) => {
      storeIndex = indexOf(answer);
      return taken(answer, storeIndex);
    });
  } catch (thrown) {
    if (idle.signal.aborted && signal?.aborted !== true) return { kind: 'idle', storeIndex };
    throw thrown;
  } finally {
    clearTimeout(timer);
  }
}

async function taken(answer: V2Answer, storeIndex: bigint): Promise<Watched> {
  const body = await whole(answer);
  if (answer.status === 200) {
    const event = eventIn(body.toString());
    if (event !== undefined) {
      // What was left of it was so when it happened, and says nothing of now.
      const node = { ...event.node, expiration: answer.clock.endOf(event.node.expiration, 0) };
      return { kind: 'event', event: { ...event, node }, storeIndex };
    }
    // A server that ends while it is waited for closes an answer that is empty.
    if (body.length === 0) throw new FerryError('unreachable', `${answer.endpoint} ended a watch without an event`);
  }
  if (refusalIn(body)?.errorCode === V2_REFUSAL.eventIndexCleared) return { kind: 'cleared' };
  throw errorForAnswer(answer.endpoint, answer.status, body);
}

function indexOf(answer: V2Answer): bigint {
  const header = answer.header('x-etcd-index');
  return header !== undefined && /^\d{1,20}$/.test(header) ? BigInt(header) : 0n;
}

async function whole(answer: V2Answer): Promise<Buffer> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const chunk of answer.chunks()) {
    length += chunk.length;
    if (length > LARGEST_EVENT) throw new FerryError('unreachable', `${answer.endpoint}: an event is larger than ${LARGEST_EVENT} bytes`);
    parts.push(chunk);
  }
  return Buffer.concat(parts);
}

const ACTIONS: ReadonlySet<string> = new Set(['set', 'create', 'update', 'compareAndSwap', 'delete', 'compareAndDelete', 'expire']);

interface EventJson {
  readonly action?: unknown;
  readonly node?: { key?: unknown; dir?: unknown; value?: unknown; expiration?: unknown; modifiedIndex?: unknown; createdIndex?: unknown };
  readonly prevNode?: { readonly dir?: unknown };
}

/** The event in an answer's text; undefined when it is none. */
export function eventIn(text: string): V2Event | undefined {
  let json: EventJson;
  try {
    json = (JSON.parse(text) ?? {}) as EventJson;
  } catch {
    return undefined;
  }
  const { action, node, prevNode } = json;
  if (typeof action !== 'string' || !ACTIONS.has(action) || typeof node?.key !== 'string') return undefined;
  const { key, dir, value, expiration, modifiedIndex, createdIndex } = node;
  if (!Number.isSafeInteger(modifiedIndex) || !Number.isSafeInteger(createdIndex)) return undefined;
  const index = BigInt(modifiedIndex as number);
  return {
    action: action as V2Event['action'],
    index,
    node: {
      path: Buffer.from(key),
      dir: dir === true,
      value: Buffer.from(typeof value === 'string' ? value : ''),
      createdIndex: BigInt(createdIndex as number),
      modifiedIndex: index,
      expiration: (typeof expiration === 'string' ? parseTime(expiration) : undefined) ?? 0n,
    },
    replacesFile: prevNode !== undefined && prevNode.dir !== true,
    bytesLost: LOST_BYTE.test(text),
  };
}
