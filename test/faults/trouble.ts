import { afterBytes, type TcpProxy } from '../support/tcp-proxy.js';
import { Unexpected } from './outcome.js';
import type { FaultRun } from './run.js';

/** A stalled server must be told of within a few of its timeouts. In milliseconds. */
const STALLED = 30_000;

type Trouble = (proxy: TcpProxy) => void;
const MAKE: Readonly<Record<string, Trouble>> = {
  cut: (proxy) => proxy.cut(),
  'cut for good': (proxy) => proxy.die(),
  stalled: (proxy) => proxy.stall(),
};

/** What a connection can run into. */
export const TROUBLES: readonly string[] = Object.keys(MAKE);

/** For a proxy's `onBytes`: one of those, after so many bytes. */
export function inTrouble(name: string, bytes: number): ReturnType<typeof afterBytes> {
  return afterBytes(bytes, MAKE[name] as Trouble);
}

/** @throws Unexpected when a run took longer to tell of trouble than its timeouts allow */
export function expectSoon({ milliseconds }: FaultRun, what: string): void {
  if (milliseconds > STALLED) throw new Unexpected(`${what}: ${Math.round(milliseconds)} ms until the end`);
}
