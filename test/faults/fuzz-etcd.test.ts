import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { TreeParser } from '../../src/cluster/v2-tree-parser.js';
import { eventIn } from '../../src/cluster/v2-watch.js';
import { batchOf } from '../../src/model/batch.js';
import { quietRun } from '../../src/model/run.js';
import { EVERYTHING, type Source } from '../../src/model/source.js';
import { openDataDirV2 } from '../../src/readers/data-dir-v2.js';
import { openBackend } from '../../src/readers/snapshot-file.js';
import { hashKv } from '../../src/readers/snapshot-file-hashkv.js';
import { restoreV2Store } from '../../src/replay/v2-snapshot.js';
import { TailedBackend } from '../../src/replay/v3-backend.js';
import { readTailBase } from '../../src/replay/v3-base.js';
import { replayTail } from '../../src/replay/v3-replay.js';
import { V3Wants } from '../../src/replay/v3-wants.js';
import { EtcdBackend } from '../../src/wire/backend.js';
import { decodeLease, decodeRole, decodeUser, encodeLease, encodeRole, encodeUser } from '../../src/wire/backend-messages.js';
import { encodeFields } from '../../src/wire/fields.js';
import { decodeConfChange, decodeEntry, ENTRY_NORMAL } from '../../src/wire/raft.js';
import { decodeV2Operation } from '../../src/wire/raft-v2.js';
import { decodeV3Request } from '../../src/wire/raft-v3.js';
import { decodeDeleteRangeResponse, decodeRangeResponse, decodeTxnResponse } from '../../src/wire/rpc.js';
import { leasesIn } from '../../src/wire/rpc-leases.js';
import { openSnap } from '../../src/wire/snap.js';
import { WAL_ENTRY, WalReader } from '../../src/wire/wal.js';
import { AUTH } from '../archive/samples.js';
import { memorySource, testdata } from '../support/bytes.js';
import { recordsOf, snapshotSource } from '../support/snapshots.js';
import { UnpackedDataDir } from '../support/v2-data.js';
import { either, fuzzEach, type Parser, patienceFor } from './fuzz.js';
import { deepJson } from './hostile.js';
import { snapFile, walWithRightCrcs } from './reseal.js';

const TESTDATA = join(import.meta.dirname, '../../testdata');
const inTar = (tar: string, file: string): Buffer =>
  execFileSync('tar', ['xzOf', join(TESTDATA, `${tar}.data-dir.tar.gz`), `data/member/${file}`], { maxBuffer: 1 << 28 });
const namesIn = (tar: string): string[] =>
  execFileSync('tar', ['tzf', join(TESTDATA, `${tar}.data-dir.tar.gz`)])
    .toString()
    .split('\n');
const filesIn = (tar: string, ending: string): Buffer[] =>
  namesIn(tar)
    .filter((name) => name.endsWith(ending) && !name.includes('0.tmp'))
    .map((name) => inTar(tar, name.replace('data/member/', '')));
/** The first records of a log: the file goes on for megabytes. */
const START_OF_WAL = 60_000;

const wals = ['etcd-v2/v238', 'etcd-v2/v34', 'etcd-v3/v3-34', 'etcd-v3/v3-35'].flatMap((tar) => filesIn(tar, '.wal').slice(0, 2));
const heads = wals.map((wal) => wal.subarray(0, START_OF_WAL));
const snaps = [...filesIn('etcd-v2/v238', '.snap'), ...filesIn('etcd-v2/v34', '.snap')];

async function entriesIn(wal: Buffer, most: number): Promise<Buffer[]> {
  const entries: Buffer[] = [];
  for await (const run of new WalReader([memorySource(wal)]).records()) {
    for (const { type, data } of run) if (type === WAL_ENTRY) entries.push(decodeEntry(Buffer.from(data)).data);
    if (entries.length > most) break;
  }
  return entries.filter(({ length }) => length > 0).slice(0, most);
}

async function readAll(source: Source): Promise<void> {
  try {
    for await (const leases of source.leases()) if (leases.length < 0) return;
    await source.auth();
    await recordsOf(source);
  } finally {
    await source.close();
  }
}

async function readWal(bytes: Buffer): Promise<void> {
  for await (const run of new WalReader([memorySource(bytes)]).records())
    for (const { type, data } of run) if (type === WAL_ENTRY) decodeEntry(data);
}

interface StoredNode {
  Children?: Record<string, StoredNode>;
}

/** A v2 store's state with no more than a few nodes in each directory: a whole one takes a second to read. */
function pruned(state: Buffer): Buffer {
  const prune = (node: StoredNode): StoredNode =>
    node.Children === undefined || node.Children === null
      ? node
      : {
          ...node,
          Children: Object.fromEntries(
            Object.entries(node.Children)
              .slice(-3)
              .map(([name, child]) => [name, prune(child)]),
          ),
        };
  const { Root, CurrentIndex } = JSON.parse(state.toString()) as { Root: StoredNode; CurrentIndex: number };
  return Buffer.from(JSON.stringify({ Root: prune(Root), WatcherHub: { EventHistory: {} }, CurrentIndex }));
}

/** Messages, each with its length before it in four bytes. */
function framed(messages: readonly Buffer[]): Buffer {
  return Buffer.concat(
    messages.flatMap((message) => {
      const length = Buffer.alloc(4);
      length.writeUInt32LE(message.length);
      return [length, message];
    }),
  );
}

function* unframed(bytes: Buffer): Generator<Buffer> {
  for (let at = 0; at + 4 <= bytes.length; ) {
    const end = Math.min(bytes.length, at + 4 + bytes.readUInt32LE(at));
    yield bytes.subarray(at + 4, end);
    at = end;
  }
}

/** Applies requests of the log to a keyspace and reads what it became. */
async function replayed(keyspace: Buffer, requests: Buffer): Promise<void> {
  const base = await EtcdBackend.open(memorySource(keyspace));
  const decoded = [...unframed(requests)].map((request, i) => ({ ...decodeV3Request(request), index: BigInt(i + 1) }));
  const wants = new V3Wants();
  for (const { operation } of decoded) wants.add(operation);
  const state = await readTailBase(base, wants, 1 << 26, quietRun().signal);
  const { tail } = replayTail(state, wants, decoded, { clusterVersion: undefined });
  const backend = new TailedBackend(base, tail, 1n);
  const options = { location: 'memory', selection: EVERYTHING, tmpDir: tmpdir(), hash: 'unchecked' as const };
  await readAll(await openBackend(memorySource(keyspace), backend, options, quietRun()));
}

/** What a general JSON parser reads, the tree's parser reads or refuses; what it refuses, the tree's parser refuses. */
function treeAnswer(bytes: Buffer): void {
  const parser = new TreeParser({ enter: () => {}, leave: () => {}, leaf: () => {} });
  parser.push(bytes);
  parser.end();
  if (!isJson(bytes)) throw new Error('took for a tree what is no JSON');
}

function isJson(bytes: Buffer): boolean {
  try {
    JSON.parse(bytes.toString());
    return true;
  } catch {
    return false;
  }
}

async function parsers(v2: UnpackedDataDir): Promise<Parser[]> {
  const small = testdata('kubernetes/1.20/plain.db.gz');
  const records = (await recordsOf(await snapshotSource(small))).slice(0, 40);
  const v2Entries = (await Promise.all(wals.slice(0, 2).map((wal) => entriesIn(wal, 400)))).flat();
  const v3Entries = (await Promise.all(wals.slice(-3).map((wal) => entriesIn(wal, 400)))).flat();
  const header = Buffer.from('0a0e08a1b2c3d4e5f6a7b8c101100218051802', 'hex').subarray(0, 16);
  const field = (tag: number, body: Buffer): Buffer =>
    Buffer.concat([Buffer.from([tag, 0x80 | (body.length & 0x7f), body.length >> 7]), body]);
  const range = Buffer.concat([header, ...records.slice(0, 5).map((record) => field(0x12, record)), Buffer.from([0x18, 1, 0x20, 5])]);
  const txn = Buffer.concat([header, Buffer.from([0x10, 1]), field(0x1a, field(0x0a, range)), field(0x1a, field(0x12, header))]);
  const trees = ['v238', 'v34'].map((name) => testdata(`etcd-v2/${name}.tree.json.gz`));
  const hidden = ['v238', 'v34'].map((name) => readFileSync(join(TESTDATA, `etcd-v2/${name}.hidden.json`)));
  const events = ['set', 'expire', 'delete'].map((action) =>
    Buffer.from(
      `{"action":"${action}","node":{"key":"/a/b","value":"x\\u00e9","dir":false,"expiration":"2026-01-02T03:04:05.000000006Z","ttl":5,"modifiedIndex":7,"createdIndex":7},"prevNode":{"key":"/a/b","value":"\\ufffd","modifiedIndex":6,"createdIndex":6}}`,
    ),
  );
  const smallSnaps = await Promise.all(
    snaps.map(async (snap) => {
      const { stateOffset, stateLength } = await openSnap(memorySource(snap));
      const state = pruned(snap.subarray(stateOffset, stateOffset + stateLength));
      return { state, file: snapFile(Buffer.concat([encodeFields([[0x0a, state]]), snap.subarray(stateOffset + stateLength)])) };
    }),
  );
  const v2Wal = join(v2.path, 'member/wal', '0000000000000000-0000000000000000.wal');
  const [user] = AUTH.users;
  const [role] = AUTH.roles;
  const lease = encodeLease({ id: 7587886342811453700n, ttl: 60n, remainingTtl: 41n });
  const options = { location: 'x', selection: EVERYTHING, maxMemory: 1 << 26 };
  return [
    {
      name: 'a snapshot file',
      corpus: [small, testdata('kubernetes-1.20/json-storage.db.gz')],
      parse: async (bytes) => readAll(await snapshotSource(bytes, { hash: 'unchecked' })),
    },
    {
      name: 'a snapshot file, its history and hash',
      corpus: [small],
      parse: async (bytes) => {
        await readAll(await snapshotSource(bytes, { hash: 'unchecked', history: true }));
        await hashKv(memorySource(bytes), { hash: 'unchecked' });
      },
    },
    {
      name: "a backend's messages",
      corpus: [lease, encodeUser(user as never), encodeRole(role as never)],
      parse: either(decodeLease, decodeUser, decodeRole),
    },
    { name: 'a .snap file', corpus: snaps.filter(({ length }) => length < 1 << 20), parse: (bytes) => openSnap(memorySource(bytes)) },
    {
      name: 'a .snap file with the right CRC',
      corpus: [...smallSnaps.map(({ file }) => file), snapFile(deepJson('{"Root":', '{"Children":{"a":', '{}', '}}'))],
      parse: async (bytes) => restoreV2Store(await openSnap(memorySource(snapFile(bytes))), 1 << 26),
    },
    {
      name: "a v2 store's state",
      corpus: [
        ...smallSnaps.map(({ state }) => state),
        deepJson('{"Root":{"Children":', '{"a":{"Children":', '{}', '}}', ',"CurrentIndex":1}'),
        deepJson('{"x":', '[', '1', ']', '}'),
      ],
      parse: async (bytes) =>
        restoreV2Store(
          { source: memorySource(bytes), stateOffset: 0, stateLength: bytes.length, index: 1n, term: 1n, voters: [] },
          1 << 26,
        ),
    },
    { name: 'a WAL', corpus: heads, parse: readWal },
    { name: 'a WAL with the right CRCs', corpus: heads, parse: (bytes) => readWal(walWithRightCrcs(bytes)) },
    {
      name: 'a v2 data dir',
      corpus: [readFileSync(v2Wal).subarray(0, START_OF_WAL)],
      parse: async (bytes) => {
        writeFileSync(v2Wal, walWithRightCrcs(bytes));
        await readAll(await openDataDirV2(v2.path, options, quietRun()));
      },
    },
    { name: 'a v2 request', corpus: v2Entries, parse: decodeV2Operation },
    { name: 'a membership change', corpus: [Buffer.from('0801100018b1f8c2d4a5e6c7f83122057b2261227d', 'hex')], parse: decodeConfChange },
    { name: 'a v3 request', corpus: v3Entries, parse: decodeV3Request },
    {
      name: 'v3 requests on a keyspace',
      corpus: [framed(v3Entries.slice(0, 20)), framed(v3Entries.slice(-20))],
      parse: (bytes) => replayed(small, bytes),
    },
    {
      name: 'an answer of the KV service',
      corpus: [range, txn, header],
      parse: either(decodeRangeResponse, decodeTxnResponse, decodeDeleteRangeResponse),
    },
    { name: 'leases of a page', corpus: records, parse: (bytes) => [...leasesIn(batchOf([bytes]))] },
    {
      name: 'an answer with a v2 tree',
      corpus: [
        ...hidden,
        ...trees.map((tree) => tree.subarray(0, 1 << 16)),
        deepJson('{"action":"get","node":', '{"dir":true,"nodes":[', '{}', ']}', '}'),
      ],
      parse: treeAnswer,
    },
    { name: 'a v2 event', corpus: [...events, deepJson('', '[', '1', ']')], parse: (bytes) => eventIn(bytes.toString()) },
    {
      name: 'an entry of a raft log',
      corpus: [...v2Entries, ...v3Entries]
        .slice(0, 50)
        .map((data) => Buffer.concat([Buffer.from([8, ENTRY_NORMAL, 0x10, 1, 0x18, 9]), field(0x22, data)])),
      parse: decodeEntry,
    },
  ];
}

const COUNT = 18;
test(`none of ${COUNT} parsers of etcd's bytes answers hostile ones with anything but a FerryError`, {
  timeout: patienceFor(COUNT),
}, async () => {
  using v2 = new UnpackedDataDir('v34');
  // The whole log is replayed where no snapshot stands for its beginning.
  const snap = join(v2.path, 'member/snap');
  for (const name of readdirSync(snap)) if (name.endsWith('.snap')) rmSync(join(snap, name));
  const all = await parsers(v2);
  expect(all.length).toBe(COUNT);
  expect(await fuzzEach(all)).toEqual([]);
});
