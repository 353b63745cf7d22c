import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { canCompress } from '../../src/archive/codec.js';
import { sha256 } from '../../src/archive/entries.js';
import { encodeLease } from '../../src/archive/leases.js';
import { openArchive } from '../../src/archive/open.js';
import { packArchive } from '../../src/archive/pack.js';
import { proveArchive } from '../../src/archive/prove.js';
import { tarHeader } from '../../src/archive/tar.js';
import type { AuthData } from '../../src/model/auth.js';
import { recordAt } from '../../src/model/batch.js';
import type { Lease } from '../../src/model/lease.js';
import { quietRun } from '../../src/model/run.js';
import { encodeKeyValue } from '../../src/wire/keyvalue.js';
import { cutInto, memoryRecords, memorySink, memorySource } from './memory.js';
import { packed, type RawEntry, rewritten } from './samples.js';

const FOLDER = new URL('../../testdata/archive/', import.meta.url);

const lease: Lease = { id: 77n, grantedTtl: 60n, remainingTtl: 41n, seenAt: 1767323045678, origin: 'lease' };
const auth: AuthData = {
  enabled: false,
  users: [{ name: 'root', roles: ['root'], passwordHash: Buffer.from('$2a$10$x'), noPassword: false }],
  roles: [{ name: 'app', permissions: [{ type: 'read', key: Buffer.from('/a'), rangeEnd: Buffer.from('/b') }] }],
};

function object(kind: string, i: number): Buffer {
  const metadata = { name: `name-${i}`, namespace: `ns-${i % 5}`, labels: { app: `a${(i * 7919) % 97}`, tier: `t${i % 3}` } };
  const data = Array.from({ length: 6 }, (_, j) => ((i * 2654435761 * (j + 1)) >>> 0).toString(36));
  return Buffer.from(JSON.stringify({ kind, apiVersion: 'v1', metadata, data }));
}

/** The records of the fixtures of version 0. */
function fixtureRecords(): Buffer[] {
  const kvs = ['pods', 'secrets', 'configmaps', 'services'].flatMap((kind) =>
    Array.from({ length: 250 }, (_, i) => ({
      key: Buffer.from(`/registry/${kind}/ns-${i % 5}/name-${String(i).padStart(4, '0')}`),
      value: i % 50 === 7 ? Buffer.alloc(0) : object(kind, i),
      createRevision: BigInt(i + 2),
      modRevision: BigInt(i * 3 + 5),
      version: BigInt((i % 4) + 1),
      lease: i % 40 === 3 ? 77n : 0n,
    })),
  );
  const binary = {
    key: Buffer.from([255, 0, 128]),
    value: Buffer.from([0, 1, 2, 255]),
    createRevision: 9n,
    modRevision: 9n,
    version: 1n,
    lease: 0n,
  };
  return [...kvs, binary].sort((a, b) => Buffer.compare(a.key, b.key)).map(encodeKeyValue);
}

async function pack(compress: 'gzip' | 'zstd'): Promise<Buffer> {
  const sink = memorySink();
  const source = memoryRecords({ info: { revision: 5000n }, leases: [[lease]], auth, batches: cutInto(fixtureRecords(), 100) });
  await packArchive(source, sink, { compress, toolVersion: '0.1.0', options: { via: 'range' } }, quietRun());
  return sink.bytes();
}

const FIXTURES = readdirSync(FOLDER).filter((name) => name.endsWith('.tar'));
const fixture = (name: string) => memorySource(readFileSync(new URL(name, FOLDER)), name);

test('there is one of each version, order and compression', async () => {
  const found = new Set<string>();
  for (const name of FIXTURES) {
    const { formatVersion, order, compress } = (await openArchive(fixture(name))).header;
    found.add(`${formatVersion} ${order} ${compress}`);
  }
  expect([...found].sort()).toEqual(['0 key gzip', '0 key zstd', '1 key gzip', '1 revision gzip', '1 tree gzip']);
});

describe.each(FIXTURES.filter((name) => name.startsWith('v0-')))('the archive %s', (name) => {
  const source = fixture(name);

  test('is proven whole and gives the records it was made from', async () => {
    await expect(proveArchive(source, quietRun())).resolves.toMatchObject({ records: 1001, leases: 1, header: { formatVersion: 0 } });
    const reader = await openArchive(source);
    const found: Buffer[] = [];
    for await (const batch of reader.records()) for (let i = 0; i < batch.count; i++) found.push(recordAt(batch, i));
    expect(Buffer.concat(found).equals(Buffer.concat(fixtureRecords()))).toBe(true);
    expect(await reader.auth()).toEqual(auth);
    for await (const leases of reader.leases()) expect(leases).toEqual([lease]);
  });
});

describe.each([
  ['v1-key.tar', { records: 369, leases: 6, api: 'v3' }],
  ['v1-revision.tar', { records: 851, leases: 6, api: 'v3' }],
  ['v1-tree.tar', { records: 1593, leases: 0, api: 'v2' }],
] as const)('the archive %s', (name, { records, leases, api }) => {
  test('is proven whole', async () => {
    const account = await proveArchive(fixture(name), quietRun());
    expect(account).toMatchObject({ records, leases, header: { formatVersion: 1, api } });
  });

  test('is, with a 0 for its number, still read; with a 2 it is of the future', async () => {
    const bytes = readFileSync(new URL(name, FOLDER));
    const numbered = (formatVersion: number): Promise<Buffer> => {
      const entries = (all: RawEntry[]): RawEntry[] =>
        all.map((entry) => {
          if (entry.name !== 'etcdferry.json') return entry;
          return {
            ...entry,
            content: Buffer.from(String(entry.content).replace('"formatVersion": 1', `"formatVersion": ${formatVersion}`)),
          };
        });
      return rewritten(bytes, { formatVersion, entries });
    };
    expect(await proveArchive(memorySource(await numbered(0)), quietRun())).toMatchObject({ records, header: { formatVersion: 0 } });
    const future = { code: 'unknown-format', message: 'memory.tar: archive format version 2; this release knows 0 to 1' };
    await expect(proveArchive(memorySource(await numbered(2)), quietRun())).rejects.toMatchObject(future);
  });
});

describe('zstd', () => {
  test('is written where the runtime has it, and refused in words where not', async () => {
    if (!canCompress('zstd')) {
      await expect(pack('zstd')).rejects.toMatchObject({ code: 'usage', message: 'this Node cannot write zstd' });
      return;
    }
    const bytes = await pack('zstd');
    expect(await proveArchive(memorySource(bytes), quietRun())).toMatchObject({ records: 1001, header: { compress: 'zstd' } });
  });
});

describe('docs/archive-format.md', () => {
  test('has the digests of two records', async () => {
    const records = ['0a01611002180320012a0131', '0a02ff001004180420013007'].map((hex) => Buffer.from(hex, 'hex'));
    expect((await packed({ batches: cutInto(records, 1) })).account.digests).toEqual({
      records: '7a6ef813dacc5f9c92cef827d986d54bf1fb53fa25854043258bc94801be2d48',
      values: '292a97d4f9aacd496f0b6cff03b2cad80cfb2563d4e884abcc3df2c4049e6d4e',
    });
  });

  test('has the digests of two runs, and of nothing', async () => {
    const records = Array.from({ length: 4097 }, (_, i) => {
      const key = Buffer.alloc(4);
      key.writeUInt32BE(i);
      const revision = BigInt(i + 1);
      return encodeKeyValue({
        key,
        value: Buffer.from(String(i)),
        createRevision: revision,
        modRevision: revision,
        version: 1n,
        lease: 0n,
      });
    });
    expect((await packed({ batches: cutInto(records, 1000) })).account.digests).toEqual({
      records: '438b655bac65258aba221c5db823a620f0dfdb682d0dd135ba33d4c400bac082',
      values: 'f6be659b589038770e49266782bd7447d2f18c21a916ba0382070bd9db0f94f9',
    });
    const nothing = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';
    expect((await packed({ batches: [] })).account.digests).toEqual({ records: nothing, values: nothing });
  });

  test('has a tar header and a lease', async () => {
    const header = await tarHeader('segments/000000.pb.gz', 12345);
    expect(sha256(header)).toBe('7b7a289633fd3d3c0078dd1858231ff086da7c2cb10e919db940c4247f246e9f');
    const vector: Lease = { id: 7587886342811453700n, grantedTtl: 60n, remainingTtl: -1n, seenAt: 1767323045678, origin: 'expiration' };
    expect(encodeLease(vector).toString('hex')).toBe('088492c2dad2cde5a669103c18ffffffffffffffffff0120ae9ea6e5b7332801');
  });
});
