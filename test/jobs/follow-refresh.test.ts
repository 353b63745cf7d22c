import { expect, test } from 'vitest';
import type { V2Cluster } from '../../src/cluster/v2.js';
import { UntoldChanges } from '../../src/jobs/follow-refresh.js';

const SECOND = 1_000;

/** A store whose index is told as it is set, once a second. */
function storeAt(first: bigint) {
  let [index, now] = [first, 0];
  const cluster = { storeIndex: async () => index } as unknown as V2Cluster;
  const untold = new UntoldChanges(cluster, Buffer.alloc(0), first);
  const ask = (caughtUp = true): Promise<boolean> => {
    now += SECOND;
    return untold.ask(caughtUp, now, new AbortController().signal);
  };
  const set = (to: bigint): void => {
    index = to;
  };
  return { untold, ask, set };
}

test('an index that events account for is no change without one, in whatever order they come', async () => {
  const { untold, ask, set } = storeAt(10n);
  expect(await ask()).toBe(false);
  set(12n);
  expect(await ask()).toBe(false);
  untold.told(11n);
  untold.told(12n);
  // One more, told before the index is.
  untold.told(13n);
  expect(await ask()).toBe(false);
  set(13n);
  expect(await ask()).toBe(false);
  expect(await ask()).toBe(false);
});

test('an index that no event accounts for is told once, when the event would have come', async () => {
  const { untold, ask, set } = storeAt(10n);
  set(12n);
  expect(await ask()).toBe(false);
  untold.told(12n);
  expect(await ask(false)).toBe(false);
  expect(await ask()).toBe(true);
  expect(await ask()).toBe(false);
});

test('what was read with the tree is accounted for, and a server that is behind tells of nothing', async () => {
  const { untold, ask, set } = storeAt(10n);
  set(15n);
  expect(await ask()).toBe(false);
  untold.readAt(15n);
  expect([await ask(), await ask()]).toEqual([false, false]);
  set(14n);
  expect([await ask(), await ask()]).toEqual([false, false]);
});
