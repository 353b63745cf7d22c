import { expect, test } from 'vitest';
import type { FerryError } from '../../src/errors.js';
import { type ReplayOptions, type ReplayReport, replayLog, snapshotsInLog } from '../../src/replay/raft-log.js';
import { encodeFields } from '../../src/wire/fields.js';
import type { SnapshotMetadata } from '../../src/wire/raft.js';
import { bytesSource, WalWriter } from '../support/wal.js';

const START = { index: 0n, term: 0n, voters: [] };

async function replay(
  segments: readonly Buffer[],
  options: Partial<ReplayOptions> = {},
): Promise<{ applied: string[]; report: ReplayReport }> {
  const applied: string[] = [];
  const report = await replayLog(
    segments.map((segment) => bytesSource(segment)),
    { start: START, maxPendingBytes: 1 << 20, ...options },
    (entry) => applied.push(`${entry.index}:${entry.data}`),
  );
  return { applied, report };
}

async function codeOf(segments: readonly Buffer[], options: Partial<ReplayOptions> = {}): Promise<string | undefined> {
  return replay(segments, options).then(
    () => undefined,
    (thrown: unknown) => (thrown as FerryError).code,
  );
}

const log = (): WalWriter => new WalWriter().metadata(7n, 9n).snapshot(0n, 0n);
const data = (text: string): Buffer => Buffer.from(text);

test('entries are applied up to the commit index; the rest is counted, and applied only when asked for', async () => {
  const segments = [log().entry(1n, 1n, data('a')).entry(2n, 1n, data('b')).state(1n, 1n).entry(3n, 1n, data('c')).state(1n, 2n).cut()];
  const { applied, report } = await replay(segments);
  expect(applied).toEqual(['1:a', '2:b']);
  expect(report).toMatchObject({ metadata: { memberId: 7n, clusterId: 9n }, commit: 2n, lastIndex: 3n, applied: 2, uncommitted: 1 });
  expect((await replay(segments, { includeUncommitted: true })).applied).toEqual(['1:a', '2:b', '3:c']);
});

test('an entry written again replaces the first and all that followed it', async () => {
  const writer = log().entry(1n, 1n, data('a')).entry(2n, 1n, data('lost')).entry(3n, 1n, data('lost too')).state(1n, 1n);
  const { applied, report } = await replay([writer.entry(2n, 2n, data('b')).state(2n, 2n).cut()]);
  expect(applied).toEqual(['1:a', '2:b']);
  expect(report).toMatchObject({ lastIndex: 2n, lastTerm: 2n, uncommitted: 0 });
});

test('a state written over several segments is one log', async () => {
  const writer = log().entry(1n, 1n, data('a')).state(1n, 1n);
  const first = writer.cut();
  const second = writer.metadata(7n, 9n).state(1n, 1n).entry(2n, 1n, data('b')).state(1n, 2n).cut();
  expect((await replay([first, second])).applied).toEqual(['1:a', '2:b']);
  expect((await replay([first, second], { start: { index: 1n, term: 1n, voters: [] } })).applied).toEqual(['2:b']);
});

test('what cannot be is damaged', async () => {
  const gap = log().entry(1n, 1n, data('a')).entry(3n, 1n, data('c'));
  expect(await codeOf([gap.cut()])).toBe('damaged');
  const replaced = log().entry(1n, 1n, data('a')).state(1n, 1n).entry(1n, 2n, data('b'));
  expect(await codeOf([replaced.cut()])).toBe('damaged');
  const lost = log().entry(1n, 1n, data('a')).state(1n, 2n);
  expect(await codeOf([lost.cut()])).toBe('damaged');
  const otherMember = log().metadata(8n, 9n);
  expect(await codeOf([otherMember.cut()])).toBe('damaged');
  const otherTerm = log().snapshot(5n, 2n);
  expect(await codeOf([otherTerm.cut()], { start: { index: 5n, term: 3n, voters: [] } })).toBe('damaged');
});

test('a kind of record that is not known is another format', async () => {
  expect(await codeOf([log().record(6, data('')).cut()])).toBe('unknown-format');
});

test('entries that wait for their commit are bounded', async () => {
  const writer = log();
  for (let i = 1n; i < 100n; i++) writer.entry(i, 1n, Buffer.alloc(1000));
  expect(await codeOf([writer.cut()], { maxPendingBytes: 50_000 })).toBe('failed');
});

test('in a cluster with one voter all that was written is committed, up to a change that adds another', async () => {
  const start = { index: 4n, term: 1n, voters: [7n] };
  const change = (type: bigint, id: bigint): Buffer =>
    encodeFields([
      [0x10, type],
      [0x18, id],
    ]);
  const writer = log().state(1n, 4n).entry(5n, 1n, data('a')).entry(6n, 1n, change(0n, 7n), 1).entry(7n, 1n, data('b'));
  const alone = [writer.cut()];
  expect((await replay(alone, { start })).report).toMatchObject({ commit: 7n, applied: 3, uncommitted: 0 });
  expect((await replay(alone, { start: { ...start, voters: [7n, 8n] } })).report).toMatchObject({ commit: 4n, applied: 0, uncommitted: 3 });
  expect((await replay(alone, { start: { ...start, voters: [8n] } })).report.uncommitted).toBe(3);
  const joined = log().entry(5n, 1n, data('a')).entry(6n, 1n, change(0n, 8n), 1).entry(7n, 1n, data('b'));
  expect((await replay([joined.cut()], { start })).report).toMatchObject({ commit: 6n, uncommitted: 1 });
  const left = log().state(1n, 4n).entry(5n, 1n, change(1n, 8n), 1).state(1n, 5n).entry(6n, 1n, data('b'));
  expect((await replay([left.cut()], { start: { ...start, voters: [7n, 8n] } })).report).toMatchObject({ commit: 6n, uncommitted: 0 });
});

test('what a database holds is committed, whatever the log says, and need not be in the log', async () => {
  const segments = [log().entry(1n, 1n, data('a')).entry(2n, 1n, data('b')).entry(3n, 1n, data('c')).state(1n, 1n).cut()];
  const start = (index: bigint): SnapshotMetadata => ({ index, term: 0n, voters: [] });
  expect((await replay(segments, { start: start(2n) })).report).toMatchObject({ commit: 2n, applied: 0, uncommitted: 1 });
  expect((await replay(segments, { start: start(9n) })).report).toMatchObject({ commit: 9n, lastIndex: 9n, uncommitted: 0 });
  // A snapshot that was received stands for the entries that are not there.
  const gap = [log().entry(1n, 1n, data('a')).snapshot(7n, 2n).state(2n, 8n).entry(8n, 2n, data('h')).cut()];
  expect((await replay(gap, { start: start(7n) })).applied).toEqual(['8:h']);
  expect(await codeOf(gap, { start: start(6n) })).toBe('damaged');
  expect(await codeOf(gap, { start: { ...start(7n), term: 3n } })).toBe('damaged');
});

test('the voters of a place before the start are changed by what the log holds in between', async () => {
  const joins = (id: bigint): Buffer =>
    encodeFields([
      [0x10, 0n],
      [0x18, id],
    ]);
  const segments = [log().entry(1n, 1n, joins(7n), 1).entry(2n, 1n, joins(8n), 1).entry(3n, 1n, data('c')).state(1n, 2n).cut()];
  const start = { index: 2n, term: 1n, voters: [7n] };
  expect((await replay(segments, { start })).report.uncommitted).toBe(0);
  expect((await replay(segments, { start, votersAt: 1n })).report.uncommitted).toBe(1);
});

test('a log tells which snapshots were taken or received, as far as they are committed', async () => {
  const told = encodeFields([
    [0x08, 5n],
    [0x10, 2n],
    [0x1a, encodeFields([[0x08, 7n]])],
  ]);
  const writer = log().entry(1n, 1n, data('a')).record(5, told).snapshot(9n, 2n).state(2n, 6n);
  const found = await snapshotsInLog([bytesSource(writer.cut())]);
  expect(found).toEqual([
    { index: 0n, term: 0n, voters: [] },
    { index: 5n, term: 2n, voters: [7n] },
  ]);
});
