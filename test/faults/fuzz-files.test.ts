import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { parseAuth } from '../../src/archive/auth.js';
import { parseEnd } from '../../src/archive/end.js';
import { parseHeader } from '../../src/archive/header.js';
import { decodeLease } from '../../src/archive/leases.js';
import { parseFrameManifest, parseManifest } from '../../src/archive/manifest.js';
import { proveArchive } from '../../src/archive/prove.js';
import { proveAccount } from '../../src/archive/prove-account.js';
import { readConfig } from '../../src/cli/config-file.js';
import { readPlan } from '../../src/cli/migrate-plan-file.js';
import { RecordChecker } from '../../src/jobs/check-records.js';
import { headerLine, parseState, stateLine } from '../../src/jobs/migrate-state-file.js';
import { detectBytes } from '../../src/locations/detect.js';
import { parseMoment } from '../../src/locations/moment.js';
import { parseEndpoints, parseLocation } from '../../src/locations/parse.js';
import { parseDuration, parseRevision, parseSize } from '../../src/locations/quantity.js';
import { batchOf } from '../../src/model/batch.js';
import { quietRun } from '../../src/model/run.js';
import { openSealed, sealingSink } from '../../src/storage/age.js';
import { parseArchiveName } from '../../src/storage/archive-name.js';
import { encodeLock, parseLock } from '../../src/storage/lock-record.js';
import { encodeSummary, parseSummary, summaryOfAccount } from '../../src/storage/stored-summary.js';
import { decodeKeyValue } from '../../src/wire/keyvalue.js';
import { decodeNode } from '../../src/wire/node.js';
import { memorySink } from '../archive/memory.js';
import { entriesOf, type RawEntry, rewritten } from '../archive/samples.js';
import { gzipMember, memorySource, testdata } from '../support/bytes.js';
import { temporaryDirectory } from '../support/temp.js';
import { archive } from './damaged-archives.js';
import { either, fuzzEach, type Parser, patienceFor } from './fuzz.js';
import { deepJson } from './hostile.js';

const work = temporaryDirectory();
const archives = ['v1-key.tar', 'v1-revision.tar', 'v1-tree.tar', 'v0-gzip.tar', 'v0-zstd.tar'].map(archive);
const text = (...lines: readonly string[]): Buffer[] => lines.map((line) => Buffer.from(line));
const deepJsons = [deepJson('', '[', '1', ']'), deepJson('{"a":', '{"a":', '1', '}', '}')];

function contents(name: string): Buffer[] {
  return archives.flatMap((bytes) => entriesOf(bytes).flatMap((entry) => (entry.name === name ? [Buffer.from(entry.content)] : [])));
}

function unpacked(bytes: Buffer, name: string): Buffer {
  return gunzipSync((entriesOf(bytes).find((entry) => entry.name === name) as RawEntry).content);
}

/** Messages behind their varint lengths of one or two bytes. */
function messagesIn(bytes: Buffer): Buffer[] {
  const messages: Buffer[] = [];
  for (let at = 0; at < bytes.length && messages.length < 60; ) {
    const [low, high] = [bytes[at] as number, bytes[at + 1] as number];
    const length = low < 128 ? low : (low & 127) | (high << 7);
    at += low < 128 ? 1 : 2;
    messages.push(bytes.subarray(at, at + length));
    at += length;
  }
  return messages;
}

/** The parsers of an archive: as a whole, then of each thing in it. */
function archiveParsers(): Parser[] {
  const [byKey, byRevision, tree] = archives as [Buffer, Buffer, Buffer];
  const segment = 'segments/000000.pb.gz';
  const checked = (api: 'v2' | 'v3', order: 'key' | 'revision' | 'tree') => (bytes: Buffer) =>
    new RecordChecker({ api, order, revision: 2n ** 62n }).add(batchOf([bytes, bytes]));
  return [
    { name: 'an archive', corpus: archives, parse: (bytes) => proveArchive(memorySource(bytes), quietRun()) },
    { name: "an archive's account", corpus: archives, parse: (bytes) => proveAccount(memorySource(bytes), quietRun()) },
    { name: 'etcdferry.json', corpus: [...contents('etcdferry.json'), ...deepJsons], parse: (bytes) => parseHeader(bytes, 1, 'x') },
    { name: 'auth.json', corpus: [...contents('auth.json'), ...deepJsons], parse: (bytes) => parseAuth(bytes, 'x') },
    {
      name: 'manifest.json',
      corpus: [...contents('manifest.json'), ...deepJsons],
      parse: (bytes) => parseManifest(parseFrameManifest(bytes, 'x'), bytes, 'x'),
    },
    { name: 'end', corpus: contents('end'), parse: (bytes) => parseEnd(bytes, 'x') },
    { name: 'a lease', corpus: messagesIn(unpacked(byKey, 'leases/000000.pb.gz')), parse: (bytes) => decodeLease(bytes) },
    { name: 'a KeyValue', corpus: messagesIn(unpacked(byKey, segment)), parse: (bytes) => decodeKeyValue(bytes) },
    { name: 'a Node', corpus: messagesIn(unpacked(tree, segment)), parse: (bytes) => decodeNode(bytes) },
    {
      name: 'packed records, digests made to match',
      corpus: [unpacked(byKey, segment), unpacked(tree, segment)].map((bytes) => bytes.subarray(0, 20_000)),
      parse: async (bytes) => proveArchive(memorySource(await withSegment(byKey, bytes)), quietRun()),
    },
    { name: 'records by key, looked at', corpus: messagesIn(unpacked(byKey, segment)), parse: checked('v3', 'key') },
    { name: 'changes, looked at', corpus: messagesIn(unpacked(byRevision, segment)), parse: checked('v3', 'revision') },
    { name: 'nodes, looked at', corpus: messagesIn(unpacked(tree, segment)), parse: checked('v2', 'tree') },
  ];
}

function withSegment(good: Buffer, content: Buffer): Promise<Buffer> {
  return rewritten(good, {
    entries: (all) => all.map((entry) => (entry.name === 'segments/000000.pb.gz' ? { ...entry, content: gzipMember(content) } : entry)),
    manifest: (json) => {
      const entry = json.entries.find(({ name }) => name === 'segments/000000.pb.gz') as Record<string, unknown>;
      entry.rawSize = content.length;
      json.totals.rawBytes = content.length;
    },
  });
}

const WORDS: readonly ((text: string) => unknown)[] = [
  parseLocation,
  parseEndpoints,
  (word) => parseDuration(word, '--x'),
  (word) => parseSize(word, '--x'),
  (word) => parseRevision(word, '--x'),
  (word) => parseMoment(word, '--x'),
];

/** The parsers of what stands beside archives: in repositories, in a user's own files, on the command line. */
async function otherParsers(): Promise<Parser[]> {
  const account = await proveArchive(memorySource(archives[0] as Buffer), quietRun());
  const summary = encodeSummary({
    ...summaryOfAccount(account, { size: 9, sha256: 'a'.repeat(64) }),
    verified: { bytes: 1, content: 2 },
    damagedAt: 3,
  });
  const owner = { host: 'h', space: 's', pid: 1, started: '1' };
  const lock = encodeLock({ id: 'a', request: { kind: 'shared', name: 'prod' }, doing: 'backup', owner, since: 0, held: true });
  const key = Buffer.from('/a');
  const state = [
    headerLine({ schema: 'etcdferry.migrate-state/v1', source: 'a1', target: 'b2', work: 'c3' }),
    ...[stateLine.source(77n), stateLine.ours(5n, 9n), stateLine.witness({ key, revision: 9n }), stateLine.run(10n)],
    ...[stateLine.sent(1, 'd1', key, key), stateLine.wrote(1, 12n), stateLine.lease(1n), stateLine.noLease(1n), stateLine.failed(3)],
  ].join('');
  const fingerprint = '{"count":1,"sum":"00000000000000000000000000000000"}';
  const plan = `{"schema":"etcdferry.migrate-plan/v1","flags":{"from":"a","to":"b"},"fingerprint":{"permanent":${fingerprint},"emptyDirectories":${fingerprint},"expiring":[{"second":1,"count":1,"sum":"0f"}]}}`;
  const config = readFileSync(join(import.meta.dirname, '../../docs/deploy/etcdferry.yaml'));
  const known = { clusters: {}, repositories: {}, policies: {}, profiles: {} };
  const settings = {
    clusters: { endpoints: 'words', user: 'string', cacert: 'string' },
    repositories: { location: 'string' },
    policies: { 'keep-daily': 'string' },
    profiles: { cluster: 'string', repository: 'string', policy: 'string', 'skip-unchanged': 'boolean' },
  } as const;
  const file = join(work, 'file');
  const fromFile =
    (read: (path: string) => unknown): Parser['parse'] =>
    (bytes) => {
      writeFileSync(file, bytes);
      return read(file);
    };
  const aliases = `a: &a [x,x,x,x,x,x,x,x,x]\n${'bcdefghi'.replace(/./g, (name, at) => `${name}: &${name} [${`*${'abcdefghi'[at]},`.repeat(9)}]\n`)}`;
  const yamls = [...text(aliases, '? [a, b]\n: c\n', 'a: !!binary "/w=="\nb: !<tag:x> 1\n'), deepJson('', '[', '1', ']')];
  const words = text(
    'http://127.0.0.1:2379,https://h',
    's3://bucket/prefix',
    '-',
    'a.tar',
    '5m30s',
    '1.5GiB',
    '2026-11-23T03:15:00.5+01:00',
    '77',
  );
  return [
    { name: "a repository's summary", corpus: [summary, ...deepJsons], parse: (bytes) => parseSummary(bytes) },
    { name: 'a lock', corpus: [lock, ...deepJsons], parse: (bytes) => parseLock(bytes, 'x', 0) },
    {
      name: "an archive's name",
      corpus: text('prod-20261123T031500.123Z-r77.etcd.tar', 'a-b-20261123T031500.000Z-r1.etcd.tar.age'),
      parse: (bytes) => parseArchiveName(bytes.toString()),
    },
    { name: "a migration's state", corpus: [Buffer.from(state), ...deepJsons], parse: (bytes) => parseState(bytes.toString(), 'x') },
    { name: "a migration's plan", corpus: [Buffer.from(plan), ...deepJsons], parse: fromFile((path) => readPlan(path, {})) },
    {
      name: 'a configuration file',
      corpus: [config, ...yamls],
      parse: fromFile((path) => readConfig(path, { ...known, ...settings }, { PROD: 'x' }, () => {})),
    },
    {
      name: 'words of the command line',
      corpus: words,
      parse: either(...WORDS.map((parse) => (bytes: Buffer) => parse(bytes.toString()))),
    },
    {
      name: 'the start of a file',
      corpus: [...archives, testdata('kubernetes/1.20/plain.db.gz')].map((bytes) => bytes.subarray(0, 70_000)),
      parse: detectBytes,
    },
    await encryptedParser(),
  ];
}

/** A sealed archive with a key that opens it. Keys from passphrases take a second each, and age's own library reads them. */
async function encryptedParser(): Promise<Parser> {
  const { generateIdentity, identityToRecipient } = await import('age-encryption');
  const identity = await generateIdentity();
  const sink = memorySink();
  const sealing = await sealingSink(sink, { recipients: [await identityToRecipient(identity)] });
  await sealing.write(archives[4] as Buffer);
  await sealing.finish();
  return {
    name: 'an encrypted archive',
    corpus: [sink.bytes()],
    parse: async (bytes) => {
      const opened = await openSealed(memorySource(bytes), { identities: [identity] });
      await proveArchive(opened, quietRun());
    },
  };
}

const COUNT = 22;
test(`none of ${COUNT} parsers of our own files answers hostile ones with anything but a FerryError`, {
  timeout: patienceFor(COUNT),
}, async () => {
  const all = [...archiveParsers(), ...(await otherParsers())];
  expect(all.length).toBe(COUNT);
  expect(await fuzzEach(all)).toEqual([]);
});
