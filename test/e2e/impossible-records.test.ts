import { readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { packArchive } from '../../src/archive/pack.js';
import { quietRun } from '../../src/model/run.js';
import { createFile } from '../../src/storage/file.js';
import { writeSnapshotFile } from '../../src/writers/snapshot-file.js';
import { etcdferryInside } from '../support/cli.js';
import { EtcdStandIn } from '../support/etcd-stand-in.js';
import { kv, sourceOf } from '../support/source.js';
import { temporaryDirectory } from '../support/temp.js';

/** A record that no etcd has: it was never written. */
const BAD = { ...kv('b', 'v'), version: 0n };
const dir = temporaryDirectory();
const at = (name: string): string => join(dir, name);
let server: EtcdStandIn;

beforeAll(async () => {
  const source = sourceOf([kv('a', 'v'), BAD]);
  const archive = await createFile(at('bad.tar'), { overwrite: false });
  await packArchive(source, archive, { compress: 'gzip', toolVersion: '0.1.0' }, quietRun());
  await archive.finish();
  await writeSnapshotFile(source, await createFile(at('bad.db'), { overwrite: false }), { tmpDir: tmpdir() }, quietRun());
  const kvs = [
    { key: Buffer.from('a'), value: Buffer.from('v'), createRevision: 7, modRevision: 9, version: 2 },
    { key: Buffer.from('b'), value: Buffer.from('v'), createRevision: 7, modRevision: 9 },
  ];
  server = await EtcdStandIn.start({}, { Range: { kvs, count: 2 } });
});
afterAll(() => server.stop());

describe('a record that verify calls damaged is refused by backup', () => {
  const SOURCES = [
    ['an archive', () => at('bad.tar'), 12],
    ['a snapshot file', () => at('bad.db'), 12],
    ['a live cluster', () => server.endpoint, 1],
  ] as const;
  const TARGETS = [
    ['a file', 'new.tar', []],
    ['a repository', 'repository/', ['--create', '--name', 'x']],
    ['nothing, in a dry run', 'dry.tar', ['--dry-run']],
  ] as const;

  test.each(SOURCES.flatMap(([from, source, exit]) => TARGETS.map(([to, target, flags]) => ({ from, source, exit, to, target, flags }))))(
    'from $from to $to',
    async ({ source, exit, target, flags }) => {
      const result = await etcdferryInside(['backup', '--from', source(), '--to', at(target), ...flags]);
      expect(result.exit).toBe(exit);
      expect(result.stderr).toContain(`${source()}: "b" has the version 0`);
      expect(readdirSync(dir, { recursive: true }).filter((name) => String(name).endsWith('.tar'))).toEqual(['bad.tar']);
    },
  );

  test('as verify does', async () => {
    const verified = await etcdferryInside(['verify', at('bad.tar'), '--depth', 'records']);
    expect(verified.exit).toBe(12);
    expect(verified.stdout.toString() + verified.stderr).toContain('"b" has the version 0');
  });
});
