import { showKey } from '../convert/key-text.js';
import type { NoteBook } from '../model/note.js';
import type { ReplayReport } from '../replay/raft-log.js';
import type { Dispute, LoggedRequest, TailReplay } from '../replay/v3-replay.js';
import type { V3Rules } from '../replay/v3-rules.js';
import type { RequestOperation, V3Operation } from '../wire/raft-v3.js';

/** So many keys are named; with all of them, in a long tail, nobody would be helped. */
const KEYS_NAMED = 100;
/** A note keeps five examples: the last holds all further keys. */
const EXAMPLES = 5;

/**
 * Notes how the WAL ends: entries after its commit index, and a last record that was not wholly written
 * (never acknowledged: etcd answers when a record is on disk).
 *
 * @param included true when the entries after the commit index were asked for
 */
export function noteEndOfLog(notes: NoteBook, report: ReplayReport, included: boolean): void {
  if (report.uncommitted > 0) {
    const what = included ? 'replayed as asked for' : 'left out; etcd may have acknowledged some: --include-uncommitted takes them';
    notes.add('uncommitted-entries', `entries of the WAL after its commit index ${report.commit}, ${what}`, { count: report.uncommitted });
  }
  if (report.tornTail !== undefined) {
    const { segment, offset, reason } = report.tornTail;
    notes.add('wal-torn-tail', 'the WAL ends with a record that was not wholly written', {
      example: `${segment}, byte ${offset}: ${reason}`,
    });
  }
}

/** Notes what was applied of the tail of a WAL, and all of it that may not be as the member has it. */
export function noteTail(notes: NoteBook, requests: readonly LoggedRequest[], replay: TailReplay): void {
  const { tail, applied } = replay;
  if (applied > 0) notes.add('wal-tail', 'operations that only the WAL held, the database not yet; applied', { count: applied });
  for (const { operation } of requests.slice(0, applied)) {
    if (operation.kind !== 'unknown') continue;
    const message = 'operations of the WAL that this release does not know, left out';
    notes.add('wal-not-replayed', message, { lossy: true, example: `field ${operation.field}` });
  }
  if (tail.auth.lostPasswords > 0) {
    const message = 'passwords set in the tail of the WAL, which has no hash of them (etcd before 3.5): these users have no password';
    notes.add('password-not-replayed', message, { lossy: true, count: tail.auth.lostPasswords });
  }
  if (tail.auth.unknownPermissions > 0) {
    const message = 'permissions granted in the tail of the WAL whose type etcd does not know, left out';
    notes.add('permission-not-known', message, { lossy: true, count: tail.auth.unknownPermissions });
  }
  noteDoubts(notes, replay);
  noteFatal(notes, requests, replay);
}

function noteDoubts(notes: NoteBook, { tail, rules, disputes }: TailReplay): void {
  for (const request of tail.outdated) {
    const message =
      'requests in the WAL refused as made before a change of users or roles, as etcd refuses them; nothing of them was written';
    notes.add('auth-revision-outdated', message, { lossy: true, example: shownRequest(request) });
  }
  for (const request of tail.refusedWhenAsked) {
    const message =
      'transactions in the WAL that etcd refused when it was asked, as a read in them fails, and makes when it starts again: written, ' +
      'as this member would; other members may not have them';
    notes.add('txn-refused-when-asked', message, { lossy: true, example: shownRequest(request) });
  }
  if (tail.missesAuthChanges) {
    const message =
      'requests in the WAL know of more changes of users and roles than there are when etcd starts again: some that it made were not ' +
      'made again, or are not known here';
    notes.add('auth-changes-missing', message, { lossy: true });
  }
  if (disputes.length > 0) noteDisputes(notes, rules, disputes);
}

/** All differences in one note: a key is named once, those that differ in more than their revisions first. */
function noteDisputes(notes: NoteBook, rules: V3Rules, disputes: readonly Dispute[]): void {
  const keys = [...new Set([...disputes.flatMap((dispute) => dispute.keys), ...disputes.flatMap(({ shifted }) => shifted)])];
  const others = [...new Set(disputes.flatMap((dispute) => dispute.others))];
  const other = disputes.map((dispute) => nameOf(dispute.rules)).join(' and ');
  const message =
    `what the tail of the WAL comes to depends on etcd's patch release, which a data dir does not tell: read as ${nameOf(rules)} ` +
    `would; ${other} would differ`;
  const named = [...others, ...keys.slice(0, KEYS_NAMED).map((key) => showKey(Buffer.from(key, 'latin1')))];
  const examples = [...named.slice(0, EXAMPLES - 1), named.slice(EXAMPLES - 1).join(', ')].filter((example) => example !== '');
  notes.add('depends-on-patch-release', message, { lossy: true, count: Math.max(1, keys.length + others.length) });
  for (const example of examples) notes.add('depends-on-patch-release', message, { count: 0, example });
}

function noteFatal(notes: NoteBook, requests: readonly LoggedRequest[], { applied, fatal }: TailReplay): void {
  if (fatal === undefined) return;
  const message = 'etcd dies of an entry of the WAL, and again at each start: it was never acknowledged, and is left out';
  notes.add('wal-entry-kills-etcd', message, { lossy: true, example: `entry ${fatal.index}: ${shownRequest(fatal)}` });
  const later = requests.length - applied - 1;
  if (later > 0)
    notes.add('wal-after-fatal-entry', 'operations in the WAL after the entry that etcd dies of, left out', { lossy: true, count: later });
}

function nameOf({ since, until }: V3Rules): string {
  if (until === undefined) return `${since} and later`;
  return since === until ? since : `${since} to ${until}`;
}

function shownRequest({ operation }: Pick<LoggedRequest, 'operation'>): string {
  const keys = keysOf(operation);
  const shown = keys.slice(0, EXAMPLES).map((key) => showKey(key));
  return keys.length === 0 ? operation.kind : `${operation.kind} of ${shown.join(', ')}${keys.length > EXAMPLES ? ', …' : ''}`;
}

/** Keys that an operation may write, and begins of ranges that it may delete. */
function keysOf(operation: V3Operation): Buffer[] {
  switch (operation.kind) {
    case 'put':
      return [operation.key];
    case 'delete':
      return [operation.range.key];
    case 'txn':
      return [...operation.success, ...operation.failure].flatMap((request: RequestOperation) => keysOf(request));
    default:
      return [];
  }
}
