import { describe, expect, test } from 'vitest';
import type { V2Cluster } from '../../src/cluster/v2.js';
import type { Watched } from '../../src/cluster/v2-watch.js';
import { FerryError } from '../../src/errors.js';
import { Feed } from '../../src/jobs/follow-feed.js';
import { quietRun } from '../../src/model/run.js';
import { failure } from '../support/v2.js';

/** A store's history, with faults: indices that have no event of interest, and requests that fail. */
class FakeStore {
  readonly history: bigint[];
  first = 1n;
  asked = 0;
  failing = 0;
  error = new FerryError('unreachable', 'gone for a moment');
  readonly #waiting: (() => void)[] = [];

  constructor(history: readonly number[]) {
    this.history = history.map(BigInt);
  }

  add(index: number): void {
    this.history.push(BigInt(index));
    for (const wake of this.#waiting.splice(0)) wake();
  }

  readonly cluster = {
    watch: async (_path: Buffer, from: bigint, _patience: number, signal?: AbortSignal): Promise<Watched> => {
      this.asked++;
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 5));
      if (this.failing-- > 0) throw this.error;
      const storeIndex = this.history.at(-1) ?? 0n;
      if (from < this.first) return { kind: 'cleared' };
      for (;;) {
        signal?.throwIfAborted();
        const index = this.history.find((some) => some >= from);
        if (index !== undefined) return { kind: 'event', event: eventAt(index), storeIndex };
        await new Promise<void>((resolve, reject) => {
          this.#waiting.push(resolve);
          signal?.addEventListener('abort', () => reject(signal.reason));
        });
      }
    },
  } as unknown as V2Cluster;
}

function eventAt(index: bigint) {
  const node = {
    path: Buffer.from(`/${index}`),
    dir: false,
    value: Buffer.alloc(0),
    createdIndex: index,
    modifiedIndex: index,
    expiration: 0n,
  };
  return { action: 'set' as const, index, node, replacesFile: false, bytesLost: false };
}

async function takeAll(feed: Feed, count: number): Promise<number[]> {
  const taken: number[] = [];
  for (let i = 0; i < 400 && taken.length < count; i++) taken.push(...(await feed.take(7, 50)).map(({ index }) => Number(index)));
  return taken;
}

describe('a feed gives every change once, in order', () => {
  test('from the history, where indices are missing, and then as they come', async () => {
    const indices = Array.from({ length: 300 }, (_, i) => i + 1).filter((i) => i % 7 !== 0 && i % 11 > 1);
    const store = new FakeStore(indices);
    const feed = new Feed(store.cluster, Buffer.alloc(0), 1n, quietRun());
    expect(await takeAll(feed, indices.length)).toEqual(indices);
    for (const index of [301, 305, 306]) store.add(index);
    expect(await takeAll(feed, 3)).toEqual([301, 305, 306]);
    expect(await feed.take(7, 20)).toEqual([]);
    expect(feed.cleared).toBe(false);
    await feed.close();
  });

  test('from the index asked for, also when the source fails for a while', async () => {
    const store = new FakeStore([1, 2, 3, 4, 5]);
    const warned: string[] = [];
    store.failing = 2;
    const feed = new Feed(store.cluster, Buffer.alloc(0), 3n, { ...quietRun(), warn: (message) => warned.push(message) });
    expect(await takeAll(feed, 3)).toEqual([3, 4, 5]);
    expect(warned).toHaveLength(1);
    await feed.close();
  });
});

test('a feed says when the source has forgotten, after what it still told', async () => {
  const store = new FakeStore([1, 2, 3]);
  const feed = new Feed(store.cluster, Buffer.alloc(0), 1n, quietRun());
  expect(await takeAll(feed, 3)).toEqual([1, 2, 3]);
  store.first = 500n;
  await feed.close();
  const late = new Feed(store.cluster, Buffer.alloc(0), 4n, quietRun());
  while (!late.cleared) expect(await late.take(7, 50)).toEqual([]);
  await late.close();
});

test('a feed fails with the source, unless that is only not there', async () => {
  const store = new FakeStore([]);
  store.failing = 1;
  store.error = new FerryError('unauthorized', 'no');
  const feed = new Feed(store.cluster, Buffer.alloc(0), 1n, quietRun());
  expect(await failure(feed.take(1, 1_000))).toMatchObject({ code: 'unauthorized' });
  await feed.close();
});
