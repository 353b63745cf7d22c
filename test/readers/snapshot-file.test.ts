import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FerryError } from '../../src/errors.js';
import type { KeyValue } from '../../src/model/keyvalue.js';
import { isBoltFile } from '../../src/wire/bbolt-file.js';
import { decodeRevisionKey } from '../../src/wire/revision-key.js';
import { memorySource, testdata } from '../support/bytes.js';
import { comparable, keyValuesOf, leasesOf, recordsOf, snapshotSource, V3_DATA } from '../support/snapshots.js';

async function failure(run: () => Promise<unknown>): Promise<FerryError> {
  try {
    await run();
  } catch (thrown) {
    if (thrown instanceof FerryError) return thrown;
    throw thrown;
  }
  throw new Error('nothing was thrown');
}

/** The file with its SHA-256 made right again. */
function resealed(file: Buffer): Buffer {
  const pages = file.subarray(0, -32);
  return Buffer.concat([pages, createHash('sha256').update(pages).digest()]);
}

describe.each(V3_DATA)('the snapshot of $name', ({ name, file, all }) => {
  test('holds what the server served: keys, values, revisions, versions, leases', async () => {
    await using source = disposable(await snapshotSource(file));
    expect(source.info).toMatchObject({ kind: 'snapshot-file', api: 'v3', order: 'key', revision: all.revision });
    expect(comparable(await keyValuesOf(source))).toEqual(comparable(all.kvs));
    // Asked again, it gives the same again.
    expect(comparable(await keyValuesOf(source))).toEqual(comparable(all.kvs));
  });

  test('is sorted on disk with a small budget to the same', async () => {
    await using source = disposable(await snapshotSource(file, { sortBudget: 64 * 1024 }));
    expect(comparable(await keyValuesOf(source))).toEqual(comparable(all.kvs));
  });

  test('has the leases that keys refer to', async () => {
    await using source = disposable(await snapshotSource(file));
    const listed = readFileSync(join(import.meta.dirname, `../../testdata/etcd-v3/${name}.leases.json`), 'utf8');
    const known = new Set([...listed.matchAll(/"id":(\d+)/g)].map((match) => BigInt(match[1] as string)));
    const leases = await leasesOf(source);
    const used = new Set(all.kvs.map((kv) => kv.lease).filter((id) => id !== 0n));
    expect(leases.map((lease) => lease.id)).toEqual([...used].sort((a, b) => (a < b ? -1 : 1)));
    for (const lease of leases.filter(({ id }) => known.has(id))) expect(lease.grantedTtl).toBeGreaterThan(0n);
    for (const lease of leases.filter(({ id }) => !known.has(id))) expect(lease.remainingTtl).toBe(-1n);
    expect(source.notes.lossy).toBe(false);
  });

  test('has users and roles with their bcrypt hashes', async () => {
    await using source = disposable(await snapshotSource(file));
    const auth = await source.auth();
    expect(auth?.users.length).toBeGreaterThan(0);
    expect(auth?.roles.some((role) => role.permissions.length > 0)).toBe(true);
    for (const user of auth?.users ?? []) if (user.passwordHash !== undefined) expect(user.passwordHash.toString()).toMatch(/^\$2[aby]\$/);
  });

  test('gives all revisions with history, compaction revisions too', async () => {
    await using source = disposable(await snapshotSource(file, { history: true }));
    const keys = (await recordsOf(source)).map((record) => record.subarray(0, record[17] === 0x74 ? 18 : 17));
    const revisions = keys.map((key) => decodeRevisionKey(key));
    expect(source.info.order).toBe('revision');
    expect(source.info.compactRevision).toBeGreaterThan(0n);
    expect(revisions.length).toBeGreaterThan(all.kvs.length);
    expect(revisions.some((revision) => revision.tombstone)).toBe(true);
    expect(revisions.at(-1)?.main).toBe(all.revision);
    for (let i = 1; i < keys.length; i++) expect(Buffer.compare(keys[i - 1] as Buffer, keys[i] as Buffer)).toBe(-1);
  });

  test('at an older revision equals the history up to it', async () => {
    await using history = disposable(await snapshotSource(file, { history: true }));
    const compacted = history.info.compactRevision as bigint;
    const log = await recordsOf(history);
    for (const revision of [compacted, compacted + 7n, all.revision - 100n, all.revision]) {
      await using source = disposable(await snapshotSource(file, { revision }));
      expect(source.info.revision).toBe(revision);
      expect(comparable(await recordsOf(source))).toEqual(comparable(keyspaceAt(log, revision)));
    }
  });

  test('refuses revisions that are compacted or to come', async () => {
    const old = await failure(() => snapshotSource(file, { revision: 2n }));
    expect([old.code, old.exit]).toEqual(['compacted', 2]);
    const future = await failure(() => snapshotSource(file, { revision: all.revision + 1n }));
    expect([future.code, future.exit]).toEqual(['future-revision', 2]);
  });

  test('keeps to the selection', async () => {
    const prefix = (all.kvs[all.kvs.length >> 1] as KeyValue).key.subarray(0, 1);
    const under = (key: Buffer): boolean => key.subarray(0, 1).equals(prefix);
    await using inside = disposable(await snapshotSource(file, { selection: { prefixes: [prefix], excludePrefixes: [] } }));
    expect(comparable(await keyValuesOf(inside))).toEqual(comparable(all.kvs.filter((kv) => under(kv.key))));
    await using outside = disposable(await snapshotSource(file, { selection: { prefixes: [], excludePrefixes: [prefix] } }));
    expect(comparable(await keyValuesOf(outside))).toEqual(comparable(all.kvs.filter((kv) => !under(kv.key))));
  });

  test('without its SHA-256 is read only when that is asked for', async () => {
    const raw = file.subarray(0, -32);
    await using source = disposable(await snapshotSource(raw));
    const refused = await failure(() => keyValuesOf(source));
    expect([refused.code, refused.exit]).toEqual(['damaged', 12]);
    expect(refused.hint).toContain('--skip-hash-check');
    await using skipped = disposable(await snapshotSource(raw, { hash: 'if-there', kind: 'data-dir' }));
    expect(comparable(await keyValuesOf(skipped))).toEqual(comparable(all.kvs));
    expect(skipped.info.kind).toBe('data-dir');
  });

  test('with a changed byte is damaged, whatever is asked of it', async () => {
    const changed = Buffer.from(file);
    changed[changed.length - 40] = (changed[changed.length - 40] as number) ^ 1;
    await using source = disposable(await snapshotSource(changed));
    expect((await failure(() => recordsOf(source))).code).toBe('damaged');
    expect((await failure(() => leasesOf(source))).code).toBe('damaged');
    expect((await failure(() => source.auth())).code).toBe('damaged');
  });

  test('is read with only one of its meta pages, whichever it is', async () => {
    for (const page of [0, 1]) {
      const broken = Buffer.from(file);
      broken.fill(0xa5, page * 4096 + 30, page * 4096 + 60);
      await using source = disposable(await snapshotSource(resealed(broken)));
      expect((await keyValuesOf(source)).length).toBe(all.kvs.length);
      expect(await isBoltFile(memorySource(broken))).toBe(true);
    }
  });

  test('cut short at any 512 bytes is damaged', async () => {
    for (const end of range(0, file.length, 512)) {
      for (const hash of ['required', 'if-there'] as const) {
        const cut = file.subarray(0, end);
        if (cut.length === file.length - 32 && hash !== 'required') continue;
        const error = await failure(async () => {
          await using source = disposable(await snapshotSource(cut, { hash }));
          await recordsOf(source);
        });
        expect(error.code, `cut at ${cut.length}`).toBe('damaged');
      }
    }
  });

  test('with any bytes of its pages changed is read or damaged, nothing else', async () => {
    // Headers and element tables, where the structure is, more often than values.
    const spot = fc.tuple(fc.nat(Math.floor(file.length / 4096) - 1), fc.oneof(fc.nat(15), fc.nat(300), fc.nat(4095)), fc.nat(255));
    await fc.assert(
      fc.asyncProperty(fc.array(spot, { minLength: 1, maxLength: 4 }), fc.boolean(), async (spots, history) => {
        const changed = Buffer.from(file);
        for (const [page, at, value] of spots) changed[page * 4096 + at] = value;
        try {
          await using source = disposable(await snapshotSource(changed, { hash: 'unchecked', history }));
          await leasesOf(source);
          await recordsOf(source);
          await source.auth();
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(FerryError);
          expect((thrown as FerryError).code).toBe('damaged');
        }
      }),
      { numRuns: process.env.SOAK === undefined ? 25 : 5000 },
    );
  });
});

describe("Kubernetes' snapshots", () => {
  test('hold what its own codec read', async () => {
    const truth = testdata('kubernetes-1.20/plain.truth.ndjson.gz').toString().trimEnd().split('\n');
    const expected = truth.map((line) => {
      const { key, create, mod, version, lease } = JSON.parse(line) as Record<string, unknown>;
      return { key, create, mod, version, lease };
    });
    // The snapshot was saved a little later than the truth was taken.
    const revision = BigInt(Math.max(...expected.map(({ mod }) => Number(mod))));
    await using source = disposable(await snapshotSource(testdata('kubernetes-1.20/plain.db.gz'), { revision }));
    const found = (await keyValuesOf(source)).map((kv) => ({
      key: kv.key.toString(),
      create: Number(kv.createRevision),
      mod: Number(kv.modRevision),
      version: Number(kv.version),
      lease: Number(kv.lease),
    }));
    expect(found).toEqual(expected);
  });

  test.each(['encrypted', 'json-storage'])('%s is read whole', async (name) => {
    await using source = disposable(await snapshotSource(testdata(`kubernetes-1.20/${name}.db.gz`)));
    expect((await keyValuesOf(source)).length).toBeGreaterThan(300);
  });
});

test('what is no bbolt file is damaged', async () => {
  for (const bytes of [Buffer.alloc(0), Buffer.from('hello'), Buffer.alloc(100_000, 7)]) {
    expect((await failure(() => snapshotSource(bytes))).code).toBe('damaged');
    expect(await isBoltFile(memorySource(bytes))).toBe(false);
  }
});

function* range(from: number, to: number, step: number): Generator<number> {
  for (let at = Math.max(0, from); at < to; at += step) yield at;
}

function disposable<T extends { close(): Promise<void> }>(source: T): T & AsyncDisposable {
  return Object.assign(source, { [Symbol.asyncDispose]: () => source.close() });
}

/** The straight way: the last record of each key up to the revision. */
function keyspaceAt(log: readonly Buffer[], revision: bigint): Buffer[] {
  const live = new Map<string, Buffer>();
  for (const record of log) {
    if (record.readBigUInt64BE(0) > revision) break;
    const tombstone = record[17] === 0x74;
    const message = record.subarray(tombstone ? 18 : 17);
    const key = message.subarray(2, 2 + (message[1] as number)).toString('latin1');
    if (tombstone) live.delete(key);
    else live.set(key, message);
  }
  return [...live].sort(([a], [b]) => Buffer.compare(Buffer.from(a, 'latin1'), Buffer.from(b, 'latin1'))).map(([, message]) => message);
}
