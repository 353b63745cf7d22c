import { createHash } from 'node:crypto';
import { FerryError } from '../errors.js';
import type { RecordBatch } from '../model/batch.js';
import type { Lease } from '../model/lease.js';
import { encodeFields } from '../wire/fields.js';
import { cursor, readInt64, readVarint } from '../wire/varint.js';

/** Leases held as objects at once. */
const LEASES_AT_ONCE = 4096;
const ORIGINS = ['lease', 'expiration'] as const;

/**
 * Encodes the archive's `Lease{id=1 int64, granted_ttl=2 int64, remaining_ttl=3 int64, seen_unix_ms=4
 * int64, origin=5}`: fields ascending, zero ones left out.
 */
export function encodeLease(lease: Lease): Buffer {
  return encodeFields([
    [0x08, lease.id],
    [0x10, lease.grantedTtl],
    [0x18, lease.remainingTtl],
    [0x20, BigInt(lease.seenAt)],
    [0x28, BigInt(ORIGINS.indexOf(lease.origin))],
  ]);
}

/** Digests what of leases does not change by itself: their ids and granted TTLs. What v2 nodes have left runs down. */
export class LeaseDigest {
  readonly #hash = createHash('sha256');

  add({ id, grantedTtl, origin }: Lease): void {
    if (origin !== 'lease') return;
    const bytes = Buffer.allocUnsafe(16);
    bytes.writeBigInt64LE(id, 0);
    bytes.writeBigInt64LE(grantedTtl, 8);
    this.#hash.update(bytes);
  }

  /** @returns in hex */
  finish(): string {
    return this.#hash.digest('hex');
  }
}

/** @throws FerryError `damaged` when it is not as `encodeLease` writes it */
export function decodeLease(bytes: Buffer, start = 0, end = bytes.length): Lease {
  const c = cursor(bytes, start, end);
  const fields = [0n, 0n, 0n, 0n, 0n];
  while (c.at < end) {
    const tag = readVarint(c);
    const field = tag >> 3;
    if ((tag & 7) !== 0 || field < 1 || field > fields.length) throw notALease();
    fields[field - 1] = readInt64(c);
  }
  const [id, grantedTtl, remainingTtl, seenAt, origin] = fields as [bigint, bigint, bigint, bigint, bigint];
  const named = ORIGINS[Number(origin)];
  if (named === undefined || !Number.isSafeInteger(Number(seenAt))) throw notALease();
  const lease: Lease = { id, grantedTtl, remainingTtl, seenAt: Number(seenAt), origin: named };
  if (!encodeLease(lease).equals(bytes.subarray(start, end))) throw notALease();
  return lease;
}

/**
 * Reads the leases of one entry, a few thousand at a time.
 *
 * @param before id of the last lease of the entry before
 * @throws FerryError `damaged` when one is not a lease or ids do not ascend
 */
export function* leasesIn(batch: RecordBatch, before: bigint | undefined, where: string): Generator<readonly Lease[]> {
  let leases: Lease[] = [];
  let last = before;
  for (let i = 0; i < batch.count; i++) {
    const lease = decodeAt(batch, i, where);
    if (lease.id === 0n || (last !== undefined && lease.id <= last)) {
      throw new FerryError('damaged', `${where}: lease ${i} does not come after the one before it`);
    }
    last = lease.id;
    leases.push(lease);
    if (leases.length < LEASES_AT_ONCE) continue;
    yield leases;
    leases = [];
  }
  if (leases.length > 0) yield leases;
}

function decodeAt(batch: RecordBatch, i: number, where: string): Lease {
  try {
    return decodeLease(batch.bytes, batch.starts[i], batch.ends[i]);
  } catch (cause) {
    throw new FerryError('damaged', `${where}: lease ${i} is not a Lease message`, { cause });
  }
}

function notALease(): FerryError {
  return new FerryError('damaged', 'is not a Lease message');
}
