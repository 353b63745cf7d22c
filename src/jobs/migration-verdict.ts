import type { MigrationProof } from './migration-proof.js';

/** True when nothing of the target is other than it should be. */
export function isProven({ differing, strayLeases }: MigrationProof): boolean {
  return differing === 0 && strayLeases === 0;
}
