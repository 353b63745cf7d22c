import type { AuthData } from '../model/auth.js';
import { MARK_BUCKET } from '../wire/backend.js';
import { encodeRole, encodeUser } from '../wire/backend-messages.js';
import type { BucketContent, EntryRun } from '../wire/bbolt-writer.js';
import { encodeRevisionKey } from '../wire/revision-key.js';

type Entry = readonly [key: Buffer, value: Buffer];

/** etcd's `meta` bucket with the compaction revisions and nothing else: the rest is a server's own. */
export function metaBucket({ finished, scheduled }: { finished?: bigint; scheduled?: bigint }): BucketContent {
  const entries: Entry[] = [];
  if (finished !== undefined) entries.push([Buffer.from('finishedCompactRev'), encodeRevisionKey({ main: finished, sub: 0n })]);
  if (scheduled !== undefined) entries.push([Buffer.from('scheduledCompactRev'), encodeRevisionKey({ main: scheduled, sub: 0n })]);
  return smallBucket('meta', entries);
}

/** The buckets `auth`, `authRoles` and `authUsers` (etcd server/auth/store.go). */
export function authBuckets({ enabled, users, roles }: AuthData): BucketContent[] {
  const revision = Buffer.alloc(8);
  // It counts changes from 1 on; tokens of the old cluster are worth nothing in the new one.
  revision.writeBigUInt64BE(BigInt(1 + users.length + roles.length));
  return [
    smallBucket('auth', [
      [Buffer.from('authEnabled'), Buffer.from([enabled === true ? 1 : 0])],
      [Buffer.from('authRevision'), revision],
    ]),
    smallBucket(
      'authRoles',
      roles.map((role) => [Buffer.from(role.name), encodeRole(role)]),
    ),
    smallBucket(
      'authUsers',
      users.map((user) => [Buffer.from(user.name), encodeUser(user)]),
    ),
  ];
}

/** Our own bucket, which etcd passes over: what the file was made of. */
export function markBucket(mark: Buffer): BucketContent {
  return smallBucket(MARK_BUCKET, [[Buffer.from('source'), mark]]);
}

/** A bucket from entries in memory, put in order. */
function smallBucket(name: string, entries: readonly Entry[]): BucketContent {
  const ordered = [...entries].sort(([a], [b]) => a.compare(b));
  const starts: number[] = [];
  const values: number[] = [];
  const ends: number[] = [];
  let at = 0;
  for (const [key, value] of ordered) {
    starts.push(at);
    values.push(at + key.length);
    at += key.length + value.length;
    ends.push(at);
  }
  const run: EntryRun = { bytes: Buffer.concat(ordered.flat()), starts, values, ends, count: ordered.length };
  return {
    name,
    entries: async function* () {
      yield run;
    },
  };
}
