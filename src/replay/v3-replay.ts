import type { RequestOperation, V3Operation, V3Request } from '../wire/raft-v3.js';
import { hasLongPassword, isContestedGrant } from './v3-auth.js';
import { differences, type OutcomeDifference } from './v3-outcome.js';
import { type Judgement, joinAlike, rulesOf, type V3Rules } from './v3-rules.js';
import { type TailBase, V3Tail } from './v3-tail.js';
import type { V3Wants } from './v3-wants.js';

/** An operation of the log with its place in it. */
export interface LoggedRequest extends V3Request {
  readonly index: bigint;
}

/** A tail applied by the rules of those releases that fit it best. */
export interface TailReplay {
  readonly tail: V3Tail;
  readonly rules: V3Rules;
  /** Number of requests applied; fewer than there are where one kills etcd. */
  readonly applied: number;
  /** The request that kills etcd. */
  readonly fatal: LoggedRequest | undefined;
  /** Other releases that the data dir may be of, and where they would differ. */
  readonly disputes: readonly Dispute[];
}

/** What tells the etcd that a tail is of. */
export interface TailOrigin {
  /** `3.5.0`; undefined when nothing tells it. */
  readonly clusterVersion: string | undefined;
  /** `3.5.16`, where the release itself is known. */
  readonly release?: string | undefined;
}

export interface Dispute extends OutcomeDifference {
  readonly rules: V3Rules;
}

interface Run {
  readonly rules: V3Rules;
  readonly tail: V3Tail;
  readonly applied: number;
  readonly fatalIndex: bigint | undefined;
}

/** What decides between runs. */
interface Merit {
  readonly contradicted: boolean;
  readonly outdated: number;
  readonly changes: number;
}

/**
 * Applies a tail to the state before it. A data dir tells the minor version of its cluster and not the patch release;
 * where releases judge what is in the tail differently, all are worked out.
 *
 * Of outcomes that differ the one is taken that no request contradicts (each tells how many changes of users and roles its
 * member had seen), then the one that refuses fewest requests as outdated, then the one that keeps the most changes: what
 * etcd may have acknowledged is not dropped.
 *
 * @param base is used up
 * @throws FerryError `failed` when it takes more memory than the base's keyspace may
 */
export function replayTail(base: TailBase, wants: V3Wants, requests: readonly LoggedRequest[], origin: TailOrigin): TailReplay {
  const hasAlarms = base.alarms.length > 0 || requests.some(({ operation }) => operation.kind === 'alarm');
  const candidates = joinAlike(rulesOf(origin.clusterVersion, origin.release), contestedJudgements(base, requests, hasAlarms));
  const [only] = candidates;
  if (candidates.length === 1) return { ...finished(run(base, wants, requests, only as V3Rules), requests), disputes: [] };
  const again = (rules: V3Rules): Run => run({ ...base, keyspace: base.keyspace.copy() }, wants, requests, rules);
  const best = again(bestOf(candidates.map((rules) => ({ rules, merit: meritOf(again(rules)) }))));
  const disputes: Dispute[] = [];
  for (const rules of candidates) {
    if (rules === best.rules) continue;
    const other = again(rules);
    // After an alarm a member that starts again may judge otherwise than it did before, and the count proves nothing.
    if (!hasAlarms && other.tail.missesAuthChanges && !best.tail.missesAuthChanges) continue;
    const difference = differences(best, other);
    if (difference !== undefined) disputes.push({ rules, ...difference });
  }
  return { ...finished(best, requests), disputes };
}

function finished({ tail, rules, applied }: Run, requests: readonly LoggedRequest[]): Omit<TailReplay, 'disputes'> {
  return { tail, rules, applied, fatal: requests[applied] };
}

function run(base: TailBase, wants: V3Wants, requests: readonly LoggedRequest[], rules: V3Rules): Run {
  const tail = new V3Tail(base, wants, rules);
  let applied = 0;
  for (const request of requests) {
    if (!tail.apply(request)) break;
    applied++;
  }
  return { rules, tail, applied, fatalIndex: requests[applied]?.index };
}

function meritOf({ tail }: Run): Merit {
  return { contradicted: tail.missesAuthChanges, outdated: tail.outdated.length, changes: tail.changes.length };
}

function bestOf(candidates: readonly { readonly rules: V3Rules; readonly merit: Merit }[]): V3Rules {
  const order = (a: Merit, b: Merit): number =>
    Number(a.contradicted) - Number(b.contradicted) || a.outdated - b.outdated || b.changes - a.changes;
  const [best] = [...candidates].reverse().sort((a, b) => order(a.merit, b.merit));
  return (best as (typeof candidates)[number]).rules;
}

/** On which questions the outcome of a tail may hang; those that no two releases of a minor version answer differently may be among them. */
function contestedJudgements(base: TailBase, requests: readonly LoggedRequest[], hasAlarms: boolean): Set<Judgement> {
  const found = new Set<Judgement>();
  const operations = requests.map(({ operation }) => operation);
  const isJudged = base.auth?.enabled === true || operations.some((operation) => operation.kind === 'auth' && operation.field === 1000);
  for (const operation of operations) contest(operation, isJudged, hasAlarms, found);
  return found;
}

function contest(operation: V3Operation, isJudged: boolean, hasAlarms: boolean, found: Set<Judgement>): void {
  if (operation.kind === 'auth') contestAuth(operation, found);
  else if (operation.kind === 'alarm') found.add('diesOfUnknownAlarms').add('judgesUnderAlarms');
  else if (operation.kind === 'lease-revoke' && isJudged) found.add('letsRootUseLeases');
  else if (operation.kind === 'txn') {
    for (const request of [...operation.success, ...operation.failure]) contestRequest(request, isJudged, hasAlarms, found);
  }
}

function contestAuth({ field, message }: Extract<V3Operation, { kind: 'auth' }>, found: Set<Judgement>): void {
  if (field === 1203 && isContestedGrant(message)) found.add('refusesInvalidGrants').add('diesOfEmptyGrants');
  if ((field === 1100 || field === 1103) && hasLongPassword(message)) found.add('refusesLongPasswords');
}

function contestRequest(request: RequestOperation, isJudged: boolean, hasAlarms: boolean, found: Set<Judgement>): void {
  if (request.kind === 'read' && (isJudged || request.revision !== 0n || request.unsortable)) found.add('keepsReads');
  if (request.kind === 'put' && isJudged && (request.prevKv || request.lease !== 0n)) found.add('judgesPutsInTransactions');
  if (request.kind !== 'txn') return;
  if (isJudged) found.add('judgesNestedRequests');
  if (hasAlarms) found.add('countsNestedPuts');
  for (const nested of [...request.success, ...request.failure]) contestRequest(nested, isJudged, hasAlarms, found);
}
