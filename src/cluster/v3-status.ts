import type { IStatusResponse } from 'etcd3';
import { FerryError } from '../errors.js';
import type { MemberStatus } from './v3.js';
import { RpcFailure } from './v3-errors.js';

const UNAVAILABLE = 14;

/** A StatusResponse as the rest of the program knows it. */
export function memberStatus({ header, version, dbSize }: IStatusResponse): MemberStatus {
  return {
    version,
    clusterId: BigInt(header.cluster_id),
    memberId: BigInt(header.member_id),
    revision: BigInt(header.revision),
    dbSize: BigInt(dbSize),
  };
}

/**
 * Why a member may be behind its cluster, or wrong, as it says itself.
 *
 * @returns undefined where it says nothing of the kind
 */
export function doubtIn({ header, leader, isLearner, errors }: IStatusResponse): string | undefined {
  if (isLearner) return 'is a learner';
  if (BigInt(leader) === 0n) return 'has no leader';
  return isCorrupt(errors, String(header.member_id)) ? CORRUPT : undefined;
}

/** What is said of a member with the alarm. */
export const CORRUPT = 'has the alarm CORRUPT';

/**
 * Whether the alarm CORRUPT is on for the member, by the errors in its status. It answers reads all the same, of what it
 * has: only writes are refused (etcd server/etcdserver/apply/corrupt.go).
 */
export function isCorrupt(errors: readonly string[], member: string): boolean {
  return errors.some((error) => {
    // As protobuf prints an alarm, whose spaces vary: `memberID:10276657743932975437 alarm:CORRUPT`.
    if (!/\bCORRUPT\b/.test(error)) return false;
    const whose = /memberID:\s*(\d+)/.exec(error)?.[1];
    return whose === undefined || whose === member;
  });
}

/** The error that leads to another endpoint, where there is one. */
export function corruptMember(address: string): FerryError {
  const status = { code: UNAVAILABLE, details: CORRUPT };
  return new FerryError('not-up-to-date', `${address}: the member ${CORRUPT}: what it holds may be wrong`, {
    hint: 'Name an endpoint of a sound member, or take what this one has with --allow-stale.',
    cause: new RpcFailure(status, { transient: true, notApplied: true }),
  });
}
