import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { FerryError } from '../errors.js';
import type { RunContext } from '../model/run.js';
import { hasEnded, thisProcess } from '../sort/process-owner.js';
import { encodeLock, isInTheWay, type LockRecord, type LockRequest, parseLock } from './lock-record.js';
import type { ObjectStore } from './object-store.js';

const EMPTY = Buffer.alloc(0);
const LOCKS = '.etcdferry/locks';
const REFRESH = 60_000;
/** A lock not refreshed for so long is dead, in milliseconds by the store's own clock. */
export const DEAD_AFTER = 15 * 60_000;
/** Between two looks at a lock that is in the way. */
const LOOK_AGAIN = 500;
/** The longest wait for one that was asked for later, and gives way or is held soon. */
const SETTLED_WITHIN = 10_000;
const SETTLING = 50;

export interface LockOptions {
  /** What the run does, for whoever finds the lock: `backup`, `prune`. */
  readonly doing: string;
  /** How long to wait for a lock that is in the way, in milliseconds. */
  readonly wait?: number;
}

/** A lock that is held, and refreshed until it is released. */
export interface HeldLock extends AsyncDisposable {
  readonly request: LockRequest;
  /** Aborted, with a FerryError `locked`, when the lock is lost: the run may not write any more. */
  readonly signal: AbortSignal;
  /** When it was written last, by the store's clock, in milliseconds since the Unix epoch. */
  readonly heldAt: number;
  /** @throws FerryError `locked` when it is lost */
  check(): Promise<void>;
  release(): Promise<void>;
}

/**
 * Takes a lock. Every run writes its own before it looks for those of others, so that of two at
 * least one sees the other; who sees one that is held, or was asked for earlier, gives way.
 *
 * @throws FerryError `locked` when another run holds it, and held it until the wait was over
 */
export async function takeLock(store: ObjectStore, request: LockRequest, options: LockOptions, run: RunContext): Promise<HeldLock> {
  const deadline = performance.now() + (options.wait ?? 0);
  for (let told = false; ; told = true) {
    const taken = await tryLock(store, request, options, run);
    if ('signal' in taken) return taken;
    const left = deadline - performance.now();
    if (left <= 0) throw heldBy(store, taken);
    if (!told) run.warn(`${heldBy(store, taken).message}; waiting for it`);
    await sleep(Math.min(left, LOOK_AGAIN * (0.5 + Math.random())), undefined, { signal: run.signal }).catch(() => {});
    run.signal.throwIfAborted();
  }
}

/** @returns the lock, or the one that is in the way */
async function tryLock(store: ObjectStore, request: LockRequest, options: LockOptions, run: RunContext): Promise<HeldLock | LockRecord> {
  const owner = await thisProcess();
  const mine: LockRecord = { id: randomUUID(), request, doing: options.doing, owner, since: Date.now(), held: false };
  const name = nameOf(mine.id);
  try {
    const isEmpty = await putLock(store, mine);
    const rival = await settle(store, mine, run);
    if (rival !== undefined) {
      await store.delete(name);
      return rival;
    }
    const held = new Held(store, name, { request, bytes: isEmpty ? EMPTY : encodeLock({ ...mine, held: true }) });
    await held.start();
    return held;
  } catch (thrown) {
    await store.delete(name).catch(() => {});
    throw thrown;
  }
}

/**
 * Writes a lock that is asked for. On a full disk an exclusive one is empty, which takes no space, and is read by others
 * as an exclusive one that is held: who comes to free space must not need any.
 *
 * @returns whether it is empty
 */
async function putLock(store: ObjectStore, lock: LockRecord): Promise<boolean> {
  const name = nameOf(lock.id);
  try {
    await store.put(name, encodeLock(lock));
    return false;
  } catch (thrown) {
    if (lock.request.kind !== 'exclusive' || FerryError.from(thrown).code !== 'no-space') throw thrown;
    await store.put(name, EMPTY);
    return true;
  }
}

/** Waits until those asked for later have given way. @returns what this one has to give way to */
async function settle(store: ObjectStore, mine: LockRecord, run: RunContext): Promise<LockRecord | undefined> {
  const deadline = performance.now() + SETTLED_WITHIN;
  for (;;) {
    run.signal.throwIfAborted();
    const rivals = (await liveLocks(store, mine)).filter((other) => isInTheWay(mine.request, other.request));
    const first = rivals.find((other) => other.held) ?? rivals.find((other) => isOlder(other, mine));
    if (first !== undefined || rivals.length === 0) return first;
    if (performance.now() > deadline) return rivals[0];
    await sleep(SETTLING);
  }
}

/** The locks of others; dead ones are cleared away. Ages are told by the store's clock, from the time of this run's own. */
async function liveLocks(store: ObjectStore, mine: LockRecord): Promise<LockRecord[]> {
  const objects = await store.list(LOCKS);
  const own = objects.find(({ name }) => name === `${mine.id}.json`);
  if (own === undefined) throw lost(store);
  const live: LockRecord[] = [];
  for (const { name, modifiedAt } of objects) {
    if (name === own.name || !name.endsWith('.json')) continue;
    const bytes = await store.get(`${LOCKS}/${name}`);
    if (bytes === undefined) continue;
    const lock = parseLock(bytes, name.slice(0, -'.json'.length), modifiedAt);
    if (own.modifiedAt - modifiedAt > DEAD_AFTER || (await hasEnded(lock.owner))) await store.delete(`${LOCKS}/${name}`);
    else live.push(lock);
  }
  return live;
}

/** Which of two came first; only who waits for whom hangs on it, as clocks differ. */
function isOlder(a: LockRecord, b: LockRecord): boolean {
  return a.since === b.since ? a.id < b.id : a.since < b.since;
}

class Held implements HeldLock {
  readonly #store: ObjectStore;
  readonly #name: string;
  readonly #bytes: Buffer;
  readonly request: LockRequest;
  readonly #lost = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  #refreshed = performance.now();
  #underway: Promise<void> = Promise.resolve();
  heldAt = 0;

  /** @param lock with its bytes, which are written again and again */
  constructor(store: ObjectStore, name: string, lock: { readonly request: LockRequest; readonly bytes: Buffer }) {
    this.#store = store;
    this.#name = name;
    this.#bytes = lock.bytes;
    this.request = lock.request;
  }

  get signal(): AbortSignal {
    return this.#lost.signal;
  }

  async start(): Promise<void> {
    await this.#store.put(this.#name, this.#bytes);
    this.heldAt = (await this.#store.list(LOCKS)).find(({ name }) => this.#name.endsWith(`/${name}`))?.modifiedAt ?? 0;
    this.#refreshed = performance.now();
    this.#timer = setInterval(() => this.#refresh(), REFRESH);
    this.#timer.unref();
  }

  async check(): Promise<void> {
    this.signal.throwIfAborted();
    if ((await this.#store.get(this.#name)) === undefined) this.#lose();
    this.signal.throwIfAborted();
  }

  async release(): Promise<void> {
    clearInterval(this.#timer);
    await this.#underway;
    await this.#store.delete(this.#name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // What the run came to counts more; the lock is dead once this process has ended.
    await this.release().catch(() => {});
  }

  #refresh(): void {
    this.#underway = this.#refreshNow().catch(() => {
      if (performance.now() - this.#refreshed > DEAD_AFTER - REFRESH) this.#lose();
    });
  }

  async #refreshNow(): Promise<void> {
    // One that others took for dead and cleared away is not put back.
    if ((await this.#store.get(this.#name)) === undefined) return this.#lose();
    await this.#store.put(this.#name, this.#bytes);
    this.#refreshed = performance.now();
  }

  #lose(): void {
    clearInterval(this.#timer);
    this.#lost.abort(lost(this.#store));
  }
}

/** True for the file name of a lock. */
export function isLockFile(file: string): boolean {
  return /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\.json$/.test(file);
}

/** Whether there is a lock of this file name. */
export async function hasLock(store: ObjectStore, file: string): Promise<boolean> {
  return (await store.get(`${LOCKS}/${file}`)) !== undefined;
}

function nameOf(id: string): string {
  return `${LOCKS}/${id}.json`;
}

function heldBy(store: ObjectStore, { request, doing, owner, since }: LockRecord): FerryError {
  const what = request.kind === 'shared' ? `${doing} of ${request.name}` : doing;
  const who = owner.host === '' ? 'unknown' : `on ${owner.host}, process ${owner.pid}`;
  return new FerryError('locked', `${store.name} is locked by ${what} (${who}) since ${new Date(since).toISOString()}`, {
    hint: 'Wait for it with --wait 10m. A lock that is not refreshed for 15 minutes is dead and taken over.',
  });
}

function lost(store: ObjectStore): FerryError {
  return new FerryError('locked', `${store.name}: the lock of this run was cleared away by another, which took it for dead`, {
    hint: 'Was this machine asleep, or cut off from the repository, for 15 minutes? Run it again.',
  });
}
