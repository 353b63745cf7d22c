import { afterBytes, TcpProxy } from '../support/tcp-proxy.js';
import { pick, type Random } from './mutate.js';
import { type FaultRun, faultRun } from './run.js';

/** A job that was told to stop, or killed, while it talked to a server. */
export interface StoppedRun {
  readonly run: FaultRun;
  readonly signal: 'SIGINT' | 'SIGTERM' | 'SIGKILL';
  /** What it ends with when it stops for that. */
  readonly exit: number;
}

/**
 * Runs a job and stops it half-way by a signal.
 *
 * @param port of the server it talks to
 * @param bytes it receives from there before, and `milliseconds` that go by until the signal
 * @param job its arguments, with the endpoint of that server
 */
export async function stoppedRun(
  random: Random,
  port: number,
  { bytes, milliseconds = 0 }: { readonly bytes: number; readonly milliseconds?: number },
  job: (endpoint: string) => readonly string[],
): Promise<StoppedRun> {
  const signal = pick(random, ['SIGINT', 'SIGTERM', 'SIGKILL'] as const);
  let kill: (signal: NodeJS.Signals) => void = () => {};
  const stop = (): void => {
    if (milliseconds === 0) kill(signal);
    else setTimeout(kill, milliseconds, signal);
  };
  await using proxy = await TcpProxy.start(port, afterBytes(bytes, stop));
  const run = await faultRun(job(proxy.endpoint), {}, (killer) => {
    kill = killer;
  });
  return { run, signal, exit: signal === 'SIGINT' ? 130 : 143 };
}
