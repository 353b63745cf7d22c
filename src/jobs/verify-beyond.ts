import type { RunContext } from '../model/run.js';
import type { DrillAccount, Drilled } from './drill.js';
import type { VerifyOptions } from './verify.js';
import type { AgainstAccount } from './verify-against.js';

/** What was found beyond the location itself. */
export interface BeyondAccount {
  readonly drill?: DrillAccount;
  readonly against?: AgainstAccount;
}

/**
 * What is to be done with a location once it has passed: restored into a real etcd, compared with another
 * source, or both.
 *
 * @throws FerryError as `drill` and `compareAgainst` do
 */
export async function verifyBeyond(
  drilled: Drilled,
  { against, drill: places }: VerifyOptions,
  tmpDir: string,
  run: RunContext,
): Promise<BeyondAccount> {
  if (places !== undefined) {
    const { drill } = await import('./drill.js');
    return drill(drilled, { ...places, tmpDir, ...(against === undefined ? {} : { against }) }, run);
  }
  if (against === undefined) return {};
  const { compareAgainst } = await import('./verify-against.js');
  return { against: await compareAgainst(drilled.open, against, run) };
}
