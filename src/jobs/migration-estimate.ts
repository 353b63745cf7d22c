import type { TreeCounts } from '../convert/v2-counts.js';

/** Measured on two cores against an etcd on the same machine (README, "How fast"): a guide, no promise. */
const WRITTEN = { keys: 35_000, bytes: 45e6, leases: 1_500 };
const READ = { keys: 120_000, bytes: 120e6 };
const INTO_FILES = { keys: 150_000, bytes: 60e6 };
/** What a key costs in etcd's file beside its bytes (revision key, record and page headers), and how full pages get. */
const [BYTES_A_KEY, PAGES] = [80, 1.3];

/** What a migration will take, about. */
export interface Estimate {
  /** For writing, and for reading the target back. */
  readonly milliseconds: number;
  /** Bytes the target grows by; of an archive at most, before it is compressed. */
  readonly bytes: number;
}

/**
 * @param counts of what is to be written
 * @param kind of target
 */
export function estimateMigration({ keys, bytes, leases }: Pick<TreeCounts, 'keys' | 'bytes' | 'leases'>, kind: 'live' | 'file'): Estimate {
  const taking = (rate: { keys: number; bytes: number }): number => keys / rate.keys + bytes / rate.bytes;
  const seconds = kind === 'live' ? taking(WRITTEN) + leases / WRITTEN.leases + taking(READ) : 2 * taking(INTO_FILES);
  return { milliseconds: Math.ceil(seconds * 1000), bytes: Math.ceil((bytes + keys * BYTES_A_KEY) * PAGES) };
}
