import type { IStatusResponse } from 'etcd3';
import type { MemberStatus } from './v3.js';

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
  return errors.some((error) => isCorruptionOf(error, String(header.member_id))) ? 'has the alarm CORRUPT' : undefined;
}

/** An alarm stands there as protobuf prints it, whose spaces vary: `memberID:10276657743932975437 alarm:CORRUPT`. */
function isCorruptionOf(error: string, member: string): boolean {
  if (!/\bCORRUPT\b/.test(error)) return false;
  const whose = /memberID:\s*(\d+)/.exec(error)?.[1];
  return whose === undefined || whose === member;
}
