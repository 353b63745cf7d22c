import { describe, expect, test } from 'vitest';
import type { AuthData, Permission } from '../../src/model/auth.js';
import { V3Keyspace } from '../../src/replay/v3-keyspace.js';
import { type LoggedRequest, replayTail, type TailReplay } from '../../src/replay/v3-replay.js';
import type { TailBase } from '../../src/replay/v3-tail.js';
import { V3Wants } from '../../src/replay/v3-wants.js';
import { encodeFields } from '../../src/wire/fields.js';
import { decodeKeyValue } from '../../src/wire/keyvalue.js';
import type { DeleteOperation, PutOperation, ReadOperation, RequestOperation, TxnOperation, V3Operation } from '../../src/wire/raft-v3.js';

const bytes = (text: string): Buffer => Buffer.from(text);

function put(key: string, fields: Partial<PutOperation> = {}): PutOperation {
  return { kind: 'put', key: bytes(key), value: bytes('v'), lease: 0n, ignoreValue: false, ignoreLease: false, prevKv: false, ...fields };
}

function read(key: string, fields: Partial<ReadOperation> = {}): ReadOperation {
  return { kind: 'read', range: { key: bytes(key), end: undefined }, revision: 0n, unsortable: false, ...fields };
}

function deleteFrom(key: string): DeleteOperation {
  return { kind: 'delete', range: { key: bytes(key), end: Buffer.alloc(0) }, prevKv: false };
}

function txn(...success: RequestOperation[]): TxnOperation {
  return { kind: 'txn', compares: [], success, failure: [] };
}

/** A role `w` gets a permission. */
function grant(key: string, end: string): V3Operation {
  const permission = encodeFields([
    [0x08, 2n],
    [0x12, bytes(key)],
    [0x1a, bytes(end)],
  ]);
  const message = encodeFields([
    [0x0a, bytes('w')],
    [0x12, permission],
  ]);
  return { kind: 'auth', field: 1203, message };
}

const permission = (type: Permission['type'], key: string, end: string): Permission => ({ type, key: bytes(key), rangeEnd: bytes(end) });
const AUTH: AuthData = {
  enabled: true,
  users: [
    { name: 'root', roles: ['root'], noPassword: false },
    { name: 'alice', roles: ['w'], noPassword: false },
  ],
  roles: [
    { name: 'root', permissions: [] },
    { name: 'w', permissions: [permission('write', '/w/', '/w0')] },
  ],
};

interface Tail {
  readonly operations: readonly (V3Operation | readonly [V3Operation, user: string, authRevision?: bigint])[];
  readonly version?: string | undefined;
  readonly release?: string;
  readonly base?: Partial<TailBase>;
  readonly keys?: Readonly<Record<string, bigint>>;
}

/** Applies operations, root's unless said otherwise, to a store at revision 10 with some keys and their leases. */
function replay({ operations, version = '3.5.0', release, base = {}, keys = {} }: Tail): TailReplay {
  const requests = operations.map((given, i): LoggedRequest => {
    const [operation, user, authRevision = 5n] = 'kind' in given ? [given, 'root'] : given;
    return { operation, user, authRevision, index: BigInt(100 + i) };
  });
  const keyspace = new V3Keyspace(1 << 20);
  for (const [key, lease] of Object.entries(keys)) {
    keyspace.load(key, { createRevision: 2n, modRevision: 2n, version: 1n, lease, value: bytes('old') });
  }
  keyspace.sort();
  const wants = new V3Wants();
  for (const { operation } of requests) wants.add(operation);
  const leases = new Map([[7n, { ttl: 100n, remainingTtl: 0n }]]);
  const store = { revision: 10n, compacted: 0n, keyspace, leases, auth: undefined, authRevision: 5n, alarms: [], ...base };
  return replayTail(store, wants, requests, { clusterVersion: version, release });
}

function written({ tail }: TailReplay): string[] {
  return tail.changes.map(({ record, tombstone }) => `${tombstone ? '-' : ''}${decodeKeyValue(record).key}`);
}

const NOSPACE: V3Operation = { kind: 'alarm', action: 1, memberId: 1n, alarm: 1 };
const nested = txn(txn(put('/x')));
/** What hangs on the patch release: the tail, and for each run of releases what is written. */
const CONTESTED: readonly { readonly what: string; readonly tail: Tail; readonly outcomes: Readonly<Record<string, string>> }[] = [
  {
    what: 'a write in a nested transaction by a user who may not',
    tail: { operations: [[nested, 'alice'], put('/after')], base: { auth: AUTH } },
    outcomes: {
      '3.5.16': '/x /after',
      '3.5.27': '/x /after',
      '3.5.28': '/after',
      '3.5.33': '/after',
      '3.6.8': '/x /after',
      '3.6.9': '/after',
      '3.7.0': '/after',
    },
  },
  {
    what: 'a put in a transaction that asks for what its user may not read',
    tail: { operations: [[txn(put('/w/1', { prevKv: true })), 'alice']], base: { auth: AUTH } },
    outcomes: { '3.4.43': '/w/1', '3.4.44': '', '3.5.29': '/w/1', '3.5.30': '', '3.6.10': '/w/1', '3.6.11': '', '3.7.0': '' },
  },
  {
    what: "a put in a transaction with the lease of others' keys",
    tail: { operations: [[txn(put('/w/1', { lease: 7n })), 'alice']], base: { auth: AUTH }, keys: { '/others': 7n } },
    outcomes: { '3.4.43': '/w/1', '3.4.44': '', '3.5.29': '/w/1', '3.5.30': '' },
  },
  {
    what: 'a put in a nested transaction while there is no space',
    tail: { operations: [NOSPACE, nested, txn(put('/top'))] },
    outcomes: { '3.4.45': '/x', '3.5.32': '/x', '3.5.33': '', '3.6.13': '/x', '3.6.14': '', '3.7.0': '/x', '3.7.1': '' },
  },
  {
    what: 'a permission whose range ends before it begins, and what was asked for with the count of changes that came of it',
    tail: { operations: [grant('/z', '/a'), [put('/w/1'), 'alice', 5n]], base: { auth: AUTH } },
    outcomes: { '3.4.24': '', '3.4.25': '/w/1', '3.5.7': '', '3.5.8': '/w/1', '3.6.0': '/w/1' },
  },
  {
    what: 'a lease revoked by root with an old token',
    tail: { operations: [[{ kind: 'lease-revoke', id: 7n }, 'root', 4n]], base: { auth: AUTH }, keys: { '/k': 7n } },
    outcomes: { '3.4.26': '', '3.4.27': '-/k', '3.5.9': '', '3.5.10': '-/k' },
  },
];

describe.each(CONTESTED)('$what', ({ tail, outcomes }) => {
  test('comes to what the release makes of it', () => {
    for (const [release, expected] of Object.entries(outcomes)) {
      const replayed = replay({ ...tail, release });
      expect([release, written(replayed).join(' '), replayed.disputes]).toEqual([release, expected, []]);
    }
  });

  test('is worked out for all releases of the version, and where they differ the keys are named', () => {
    for (const minor of new Set(Object.keys(outcomes).map((release) => release.slice(0, 3)))) {
      const possible = new Set(Object.entries(outcomes).flatMap(([release, outcome]) => (release.startsWith(minor) ? [outcome] : [])));
      const replayed = replay({ ...tail, version: `${minor}.0` });
      expect([...possible]).toContain(written(replayed).join(' '));
      const named = replayed.disputes.flatMap(({ keys }) => keys);
      const differing = [...possible].flatMap((outcome) => outcome.split(' ')).filter((key) => key !== '' && key !== '/after');
      expect([minor, new Set(named)]).toEqual([minor, new Set(possible.size > 1 ? differing.map((key) => key.replace('-', '')) : [])]);
    }
  });
});

test('the most that etcd may have acknowledged is kept', () => {
  const { rules, disputes, ...replayed } = replay({ operations: [[nested, 'alice'], put('/after')], base: { auth: AUTH } });
  expect(written(replayed as TailReplay)).toEqual(['/x', '/after']);
  expect([rules.since, rules.until]).toEqual(['3.5.0', '3.5.27']);
  expect(disputes).toMatchObject([{ rules: { since: '3.5.28', until: undefined }, keys: ['/x'], shifted: ['/after'], others: [] }]);
});

test('a release that a request contradicts is none: it tells how many changes of users and roles its member had seen', () => {
  const operations = [grant('/z', '/a'), put('/after')];
  const { rules, disputes } = replay({
    version: '3.4.0',
    base: { auth: AUTH },
    operations: [operations[0] as V3Operation, [put('/after'), 'root', 6n]],
  });
  expect([rules.until, disputes]).toEqual(['3.4.24', []]);
  // With an alarm in the tail it may be etcd itself that counts otherwise when it starts again.
  const alarm: V3Operation = { ...NOSPACE, action: 2 };
  const doubted = replay({
    version: '3.4.0',
    base: { auth: AUTH },
    operations: [alarm, operations[0] as V3Operation, [put('/after'), 'root', 6n]],
  });
  expect([doubted.rules.until, doubted.disputes.length]).toEqual(['3.4.24', 1]);
});

test('requests refused as outdated are told, and a count that requests contradict', () => {
  const old = replay({ base: { auth: AUTH }, operations: [[put('/w/1'), 'alice', 4n]] });
  expect([written(old), old.tail.outdated.length, old.tail.missesAuthChanges]).toEqual([[], 1, false]);
  const nobody = replay({ base: { auth: AUTH }, operations: [[put('/w/1'), '', 0n]] });
  expect([written(nobody), nobody.tail.outdated.length]).toEqual([[], 0]);
  const newer = replay({ base: { auth: AUTH }, operations: [[put('/w/1'), 'alice', 9n]] });
  expect([written(newer), newer.tail.missesAuthChanges]).toEqual([['/w/1'], true]);
});

test('a read at the top of a transaction counts from 3.7 on; before, that etcd had refused it is told', () => {
  const cases: readonly [ReadOperation, string][] = [
    [read('/w/1', { revision: 99n }), 'root'],
    [read('/w/1', { revision: 3n }), 'root'],
    [read('/others'), 'alice'],
  ];
  for (const [failing, user] of cases) {
    const tail: Tail = { operations: [[txn(put('/w/1'), failing), user]], base: { auth: AUTH, compacted: 5n } };
    const before = replay({ ...tail, version: '3.6.0' });
    expect([written(before), before.tail.refusedWhenAsked.length]).toEqual([['/w/1'], 1]);
    const after = replay({ ...tail, version: '3.7.0' });
    expect([written(after), after.tail.refusedWhenAsked.length]).toEqual([[], 0]);
    const inside = replay({ ...tail, version: '3.6.0', release: '3.6.16', operations: [[txn(put('/w/1'), txn(failing)), user]] });
    expect([written(inside), inside.tail.refusedWhenAsked.length]).toEqual([[], 0]);
  }
});

/** What etcd dies of, by the releases that do, and those that do not. */
const FATAL: readonly {
  readonly what: string;
  readonly operation: V3Operation;
  readonly dies: readonly string[];
  readonly lives: readonly string[];
}[] = [
  {
    what: 'a put that keeps the value of a key deleted before it',
    operation: txn(deleteFrom('/a'), put('/a', { ignoreValue: true })),
    dies: ['3.4.23', '3.5.33', '3.6.16', '3.7.3'],
    lives: [],
  },
  {
    what: 'a put that keeps the lease of a key deleted before it',
    operation: txn(txn(deleteFrom('/a')), put('/a', { ignoreLease: true })),
    dies: ['3.4.23', '3.7.3'],
    lives: [],
  },
  {
    what: 'a put that keeps a lease which is not there',
    operation: put('/b', { ignoreLease: true }),
    dies: ['3.4.23', '3.7.3'],
    lives: [],
  },
  {
    what: 'an alarm of an unknown kind',
    operation: { kind: 'alarm', action: 1, memberId: 1n, alarm: 9 },
    dies: ['3.5.16'],
    lives: ['3.4.23', '3.6.11', '3.7.3'],
  },
  {
    what: 'a nested read sorted by what etcd does not know',
    operation: txn(put('/c'), txn(read('/a', { unsortable: true }))),
    dies: ['3.4.23', '3.5.16'],
    lives: ['3.7.3'],
  },
  {
    what: 'a grant of nothing',
    operation: { kind: 'auth', field: 1203, message: encodeFields([[0x0a, bytes('w')]]) },
    dies: ['3.4.24'],
    lives: ['3.4.25', '3.5.0', '3.7.3'],
  },
];

test.each(FATAL)('$what ends the replay where it kills etcd, and what follows is counted as not applied', ({ operation, dies, lives }) => {
  const tail: Tail = { operations: [put('/before'), operation, put('/later')], base: { auth: AUTH }, keys: { '/a': 0n, '/b': 8n } };
  for (const release of dies) {
    const { fatal, applied, ...replayed } = replay({ ...tail, release });
    expect([release, fatal?.index, applied, written(replayed as TailReplay)]).toEqual([release, 101n, 1, ['/before']]);
  }
  for (const release of lives) {
    const { fatal, applied, ...replayed } = replay({ ...tail, release });
    expect([release, fatal, applied, written(replayed as TailReplay).at(-1)]).toEqual([release, undefined, 3, '/later']);
  }
});

test('up to 3.5 an alarm raised in the tail puts the check of permissions aside, and the end of one ends all', () => {
  const operations = (memberId: bigint): Tail['operations'] => [
    NOSPACE,
    [{ kind: 'delete', range: { key: bytes('/a'), end: undefined }, prevKv: false }, 'alice'],
    { kind: 'alarm', action: 1, memberId: 1n, alarm: 2 },
    [{ kind: 'delete', range: { key: bytes('/b'), end: undefined }, prevKv: false }, 'root'],
    { kind: 'alarm', action: 2, memberId, alarm: 2 },
    put('/c'),
  ];
  const outcome = (release: string, memberId = 1n, alarms: TailBase['alarms'] = []): string =>
    written(replay({ release, operations: operations(memberId), base: { auth: AUTH, alarms }, keys: { '/a': 0n, '/b': 0n } })).join(' ');
  expect(outcome('3.5.16')).toBe('-/a /c');
  expect(outcome('3.4.23')).toBe('-/a /c');
  // Raised before the tail, it came with the check of permissions when etcd started.
  expect(outcome('3.5.16', 1n, [{ memberId: 1n, alarm: 1 }])).toBe('/c');
  expect(outcome('3.5.16', 2n)).toBe('-/a');
  expect(outcome('3.6.11')).toBe('');
  expect(outcome('3.7.3', 2n)).toBe('');
});
