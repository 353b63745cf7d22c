import { describe, expect, test } from 'vitest';
import type { FerryError } from '../../src/errors.js';
import { applyToV2Store } from '../../src/replay/v2-apply.js';
import { V2Store } from '../../src/replay/v2-store.js';
import { V2Versions, type VersionChange, versionChangeOf } from '../../src/replay/v2-version.js';
import { inTreeOrder } from '../../src/replay/v2-walk.js';
import { encodeFields } from '../../src/wire/fields.js';
import type { RaftEntry } from '../../src/wire/raft.js';

interface Request {
  readonly value?: string;
  readonly dir?: boolean;
  readonly prevExist?: boolean;
  readonly prevValue?: string;
  readonly prevIndex?: bigint;
  readonly expiration?: bigint;
  readonly time?: bigint;
  readonly recursive?: boolean;
}

/** A bare v2 Request as an entry of the log. */
function entry(index: bigint, method: string, path: string, request: Request = {}): RaftEntry {
  const { value = '', prevValue = '' } = request;
  const fields = encodeFields([
    [0x12, Buffer.from(method)],
    [0x1a, Buffer.from(path)],
    [0x22, Buffer.from(value)],
    [0x28, request.dir === true ? 1n : 0n],
    [0x32, Buffer.from(prevValue)],
    [0x38, request.prevIndex ?? 0n],
    [0x48, request.expiration ?? 0n],
    [0x60, request.recursive === true ? 1n : 0n],
    [0x78, request.time ?? 0n],
  ]);
  const exist = request.prevExist === undefined ? Buffer.alloc(0) : Buffer.from([0x40, request.prevExist ? 1 : 0]);
  return { type: 0, term: 1n, index, data: Buffer.concat([fields, exist]) };
}

function replay(entries: readonly RaftEntry[]): V2Store {
  const store = new V2Store(1 << 30);
  const changes = entries.map(versionChangeOf).filter((change): change is VersionChange => change !== undefined);
  const versions = new V2Versions(store, changes);
  const counts = { requests: 0, confChanges: 0, v3: 0 };
  for (const one of entries) applyToV2Store(store, one, versions, counts);
  return store;
}

function paths(store: V2Store): string[] {
  const top = store.get('/1');
  return top === undefined
    ? []
    : [...inTreeOrder(top)].map(({ path, node }) => `${path}=${node.value}@${node.createdIndex},${node.modifiedIndex}`);
}

const version = (index: bigint, value: string): RaftEntry => entry(index, 'PUT', '/0/version', { value });
const SECOND = 1_000_000_000n;
const LATER = 2_000_000_000n * SECOND;

describe('what differs between versions of etcd', () => {
  test('POST names a node after an index that is padded since 2.2', () => {
    expect(paths(replay([version(1n, '2.1.0'), entry(2n, 'POST', '/1/q')]))).toEqual(['/q=@2,2', '/q/2=@2,2']);
    expect(paths(replay([version(1n, '2.2.0'), entry(2n, 'POST', '/1/q')]))).toEqual(['/q=@2,2', '/q/00000000000000000002=@2,2']);
    // 2.0 never sets a version.
    expect(paths(replay([entry(1n, 'POST', '/1/q')]))).toEqual(['/q=@1,1', '/q/1=@1,1']);
  });

  test('before a young cluster has a version, the one it comes to counts', () => {
    expect(paths(replay([entry(1n, 'POST', '/1/q'), version(2n, '2.3.0')]))).toEqual(['/q=@1,1', '/q/00000000000000000001=@1,1']);
    const update = entry(3n, 'PUT', '/1/d', { dir: true, prevExist: true, expiration: LATER });
    const make = entry(2n, 'PUT', '/1/d', { dir: true });
    expect(replay([version(1n, '3.0.0'), make, update, version(4n, '3.4.0')]).index).toBe(4n);
    expect(replay([version(1n, '3.0.0'), make, update, version(4n, '3.5.0')]).index).toBe(3n);
  });

  test('a directory is updated before 3.5, in its expiration alone; since then it is refused', () => {
    const entries = (v: string): RaftEntry[] => [
      version(1n, v),
      entry(2n, 'PUT', '/1/d', { dir: true }),
      entry(3n, 'PUT', '/1/d', { dir: true, prevExist: true, expiration: LATER }),
    ];
    const old = replay(entries('3.4.0'));
    expect([old.index, old.get('/1/d')?.expiration, old.get('/1/d')?.modifiedIndex]).toEqual([3n, LATER, 2n]);
    const now = replay(entries('3.5.0'));
    expect([now.index, now.get('/1/d')?.expiration]).toEqual([2n, 0n]);
  });

  test('2.0 updates whatever the previous value was said to be', () => {
    const entries = [entry(1n, 'PUT', '/1/k', { value: 'a' }), entry(2n, 'PUT', '/1/k', { value: 'b', prevExist: true, prevValue: 'x' })];
    expect(paths(replay(entries))).toEqual(['/k=b@1,2']);
    expect(paths(replay([version(1n, '2.1.0'), ...entries]))).toEqual(['/k=a@2,2']);
  });
});

describe('expiry', () => {
  test('takes an index for each node that expires by itself, none for what goes with it', () => {
    const soon = 1_000_000_000n * SECOND;
    const store = replay([
      version(1n, '3.4.0'),
      entry(2n, 'PUT', '/1/d', { dir: true, expiration: soon }),
      entry(3n, 'PUT', '/1/d/k', { expiration: soon + 1n }),
      entry(4n, 'PUT', '/1/e', { expiration: soon + 2n }),
      entry(5n, 'PUT', '/1/f', { expiration: soon + 9n }),
      entry(6n, 'SYNC', '', { time: soon + 2n }),
    ]);
    expect(store.index).toBe(7n);
    expect(paths(store)).toEqual(['/f=@5,5']);
  });

  test('what is made to expire before the year 2000 is permanent', () => {
    const store = replay([entry(1n, 'PUT', '/1/k', { expiration: 5n }), entry(2n, 'SYNC', '', { time: LATER })]);
    expect(paths(store)).toEqual(['/k=@1,1']);
  });
});

test('namespaces and the root cannot be changed, and paths are cleaned as Go does', () => {
  const refused = ['/', '/0', '/1', '/1/', '/1/a/..', '//1/.'].map((path, i) => entry(BigInt(i + 1), 'PUT', path, { value: 'x' }));
  expect(replay(refused).index).toBe(0n);
  expect(paths(replay([entry(1n, 'PUT', '/1/a//b/./c/../d', { value: 'x' })]))).toEqual(['/a=@1,1', '/a/b=@1,1', '/a/b/d=x@1,1']);
});

test('a tree as deep as etcd lets it be is walked and removed', () => {
  const deep = `/1${'/d'.repeat(20_000)}`;
  const store = replay([entry(1n, 'PUT', deep), entry(2n, 'DELETE', '/1/d', { recursive: true })]);
  expect(store.index).toBe(2n);
  expect(paths(store)).toEqual([]);
  expect(store.memory).toBe(new V2Store(1 << 30).memory);
});

test('membership changes take the indices that etcd gave them', () => {
  const change = (index: bigint, type: bigint, id: bigint, context: object): RaftEntry => ({
    type: 1,
    term: 1n,
    index,
    data: encodeFields([
      [0x10, type],
      [0x18, id],
      [0x22, Buffer.from(JSON.stringify(context))],
    ]),
  });
  const urls = (url: string): object => ({ peerURLs: [url] });
  const store = replay([
    change(1n, 0n, 0xan, urls('http://a')),
    change(2n, 0n, 0xan, urls('http://other')),
    change(3n, 0n, 0xbn, urls('http://a')),
    change(4n, 3n, 0xbn, { ...urls('http://b'), isLearner: true }),
    change(5n, 3n, 0xcn, { ...urls('http://c'), isLearner: true }),
    change(6n, 0n, 0xbn, { isPromote: true }),
    entry(7n, 'PUT', '/0/members/b/attributes', { value: '{"name":"b"}' }),
    change(8n, 1n, 0xbn, {}),
    entry(9n, 'PUT', '/0/members/b/attributes', { value: '{"name":"b"}' }),
    change(10n, 0n, 0xbn, urls('http://b')),
    change(11n, 2n, 0xan, urls('http://new')),
  ]);
  // a added, b added and promoted, its attributes, b removed and remembered, a changed.
  expect(store.index).toBe(7n);
  expect(store.get('/0/members/a/raftAttributes')?.value.toString()).toBe('{"peerURLs":["http://new"]}');
  expect(store.get('/0/removed_members/b')).toBeDefined();
});

test('an entry that no etcd writes is another format, one that does not parse is damaged', () => {
  const codeOf = (data: Buffer, type = 0): unknown => {
    try {
      replay([{ type, term: 1n, index: 1n, data }]);
    } catch (thrown) {
      return (thrown as FerryError).code;
    }
    return undefined;
  };
  expect(codeOf(Buffer.alloc(0), 2)).toBe('unknown-format');
  expect(codeOf(Buffer.from([0x12, 0x50]))).toBe('damaged');
});
