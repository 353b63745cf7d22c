import { createHash } from 'node:crypto';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { etcdferry, jsonOf } from '../support/cli.js';
import { keysAndValues, revisionOf } from '../support/compare.js';
import { type EtcdBinaries, EtcdServer, etcdVersions } from '../support/etcd.js';
import { load, type Put } from '../support/load.js';
import { temporaryDirectory } from '../support/temp.js';

const KEYS = 100_000;
const LEASES = [1000n, 0x7fffffffffff0001n];

/** Keys that are text and keys that are not, empty values, a large one, some with a lease. */
function* awkwardKeys(): Iterable<Put> {
  yield { key: Buffer.from([0x00]), value: Buffer.from('first') };
  yield { key: Buffer.from([0xff, 0xfe, 0x00, 0xff]), value: Buffer.from([0x00, 0xff]) };
  yield { key: Buffer.from('/empty'), value: Buffer.alloc(0) };
  yield { key: Buffer.from('/large'), value: Buffer.alloc(1_400_000, 'x') };
  yield { key: Buffer.from('/a\nline\\'), value: Buffer.from('grüße') };
  for (const [i, lease] of LEASES.entries()) {
    for (let k = 0; k < 50; k++) yield { key: Buffer.from(`/leased/${i}/${k}`), value: Buffer.from('v'), lease };
  }
  for (let k = 0; k < KEYS; k++) {
    const digest = createHash('sha1').update(String(k)).digest();
    yield { key: k % 10 === 0 ? digest : Buffer.from(`/bulk/${digest.toString('hex')}`), value: Buffer.from(`value ${k}`) };
  }
}

async function filled(etcd: EtcdBinaries): Promise<EtcdServer> {
  const server = await EtcdServer.start(etcd);
  for (const lease of LEASES) {
    await grant(server, lease);
  }
  await load(server.endpoint, awkwardKeys());
  return server;
}

async function grant(server: EtcdServer, id: bigint): Promise<void> {
  const { connectV3 } = await import('../../src/cluster/v3-connect.js');
  const cluster = await connectV3({ endpoints: [server.endpoint], dialTimeout: 5_000, commandTimeout: 5_000 });
  await cluster.leaseGrant(id, 3600n);
  await cluster.close();
}

for (const from of etcdVersions()) {
  describe(`backup of etcd ${from.version}`, () => {
    const directory = temporaryDirectory();
    const archive = join(directory, 'etcd.tar');

    test('goes into any etcd, key by key, and a second restore writes nothing', { timeout: 180_000 }, async () => {
      await using source = await filled(from);
      const backup = await etcdferry(['backup', '--from', source.endpoint, '--to', archive, '--json']);
      expect(backup).toMatchObject({ exit: 0 });
      const report = jsonOf(backup) as { revision: number; archive: { records: number } };
      expect(report.revision).toBe(await revisionOf(source));
      expect(report.archive.records).toBe(KEYS + 105);
      expect(statSync(archive).mode & 0o777).toBe(0o600);
      expect(await etcdferry(['verify', archive])).toMatchObject({ exit: 0 });
      const original = await keysAndValues(source);

      for (const to of etcdVersions()) {
        await using target = await EtcdServer.start(to);
        const first = await etcdferry(['restore', '--from', archive, '--to', target.endpoint, '--json']);
        expect(first, `into etcd ${to.version}`).toMatchObject({ exit: 0 });
        expect(jsonOf(first)).toMatchObject({ written: KEYS + 105, leasesGranted: 2 });
        expect((await keysAndValues(target)).length).toBe(original.length);
        expect(hash(await keysAndValues(target)), `into etcd ${to.version}`).toBe(hash(original));
        const before = await revisionOf(target);
        const again = await etcdferry(['restore', '--from', archive, '--to', target.endpoint, '--json']);
        expect(again).toMatchObject({ exit: 0 });
        expect(jsonOf(again)).toMatchObject({ written: 0, equal: KEYS + 105, leasesGranted: 0 });
        expect(await revisionOf(target)).toBe(before);
      }
    });
  });
}

/** One short text for a long list: a mismatch of 100,000 lines is no help in a report. */
function hash(lines: readonly string[]): string {
  return createHash('sha256').update(lines.join('\n')).digest('hex');
}
