/** How far two clocks may be apart before an archive counts as dated in the future, in milliseconds. */
const CLOCKS_APART = 5 * 60_000;

/**
 * True for a time that lies ahead of this machine's clock by more than clocks differ: some clock was wrong, and
 * nothing can be told from it about what is new.
 *
 * @param time in milliseconds since the Unix epoch
 * @param now this machine's clock, in the same unit
 */
export function isInFuture(time: number, now: number): boolean {
  return time > now + CLOCKS_APART;
}
