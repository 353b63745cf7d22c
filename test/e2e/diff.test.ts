import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { packArchive } from '../../src/archive/pack.js';
import { quietRun } from '../../src/model/run.js';
import { memorySink } from '../archive/memory.js';
import { type CliResult, etcdferryInside } from '../support/cli.js';
import { EtcdServer, etcdWithV2, newestEtcd } from '../support/etcd.js';
import { kv, sourceOf } from '../support/source.js';
import { temporaryDirectory } from '../support/temp.js';

const DATA = join(import.meta.dirname, '../../testdata/kubernetes-1.20');
const CONFIG = join(DATA, 'encryption-config.yaml');
const directory = temporaryDirectory();
const at = (name: string): string => join(directory, name);

let live: EtcdServer;
let old: EtcdServer;
/** The revision of `live` that the archive was made at. */
let before: string;

function lines(result: CliResult): string[] {
  return result.stdout.toString().trimEnd().split('\n');
}

function documents(result: CliResult): Record<string, unknown>[] {
  return lines(result).map((line) => JSON.parse(line) as Record<string, unknown>);
}

/** `changed /app/a`, a line each, of `diff --json`. */
function named(result: CliResult): string[] {
  return documents(result)
    .slice(0, -1)
    .map(({ change, key }) => `${change} ${key}`);
}

beforeAll(async () => {
  [live, old] = await Promise.all([EtcdServer.start(newestEtcd()), EtcdServer.start(etcdWithV2(), { args: ['--enable-v2'] })]);
  const lease = (await live.etcdctl('lease', 'grant', '3600')).split(' ')[1] as string;
  for (const [key, value] of Object.entries({
    a: 'hello',
    b: 'one\ntwo\nthree',
    bye: 'x',
    long: `${'x'.repeat(400)}A${'y'.repeat(400)}`,
    same: 'x',
  }))
    await live.etcdctl('put', `/app/${key}`, value);
  await live.etcdctl('put', `--lease=${lease}`, '/app/leased', 'v');
  const backup = await etcdferryInside(['backup', '--from', live.endpoint, '--to', at('before.tar'), '--json']);
  before = String((JSON.parse(backup.stdout.toString()) as { revision: number }).revision);
  await live.etcdctl('put', '/app/a', 'goodbye');
  await live.etcdctl('put', '/app/b', 'one\n2\nthree');
  await live.etcdctl('del', '/app/bye');
  await live.etcdctl('put', '/app/leased', 'v');
  await live.etcdctl('put', '/app/long', `${'x'.repeat(400)}B${'y'.repeat(400)}`);
  await live.etcdctl('put', '/app/new', 'a \x1b[31mred\x1b[0m word');
  for (const name of ['plain', 'encrypted', 'json-storage'])
    writeFileSync(at(`${name}.db`), gunzipSync(readFileSync(join(DATA, `${name}.db.gz`))));
});

afterAll(() => Promise.all([live.stop(), old.stop()]));

describe('diff', () => {
  test('tells what was added, removed and changed, with the values, exit 4', async () => {
    const result = await etcdferryInside(['diff', at('before.tar'), live.endpoint]);
    const cutTo = (letter: string): string => `…${'x'.repeat(60)}${letter}${'y'.repeat(179)}… (461 characters)`;
    expect(lines(result)).toEqual([
      '~ /app/a',
      '  - hello',
      '  + goodbye',
      '~ /app/b',
      '  @@ -1,3 +1,3 @@',
      '    one',
      '  - two',
      '  + 2',
      '    three',
      '- /app/bye',
      '  - x',
      '~ /app/long',
      `  - ${cutTo('A')}`,
      `  + ${cutTo('B')}`,
      '+ /app/new',
      '  + a \\x1b[31mred\\x1b[0m word',
    ]);
    expect(result).toMatchObject({ exit: 4, stderr: '5 keys differ: 1 added, 1 removed, 3 changed; 2 equal\n' });
  });

  test('is content with equal sources: an archive, and the snapshot file restored from it, exit 0', async () => {
    expect((await etcdferryInside(['restore', '--from', at('before.tar'), '--to', at('before.db')])).exit).toBe(0);
    for (const [from, to] of [
      ['before.tar', 'before.db'],
      ['before.db', 'before.tar'],
    ] as const) {
      const result = await etcdferryInside(['diff', at(from), at(to), '--revisions', '--leases']);
      expect({ exit: result.exit, out: result.stdout.toString() }).toEqual({ exit: 0, out: '' });
      expect(result.stderr).toMatch(/^no difference: 6 keys equal$/m);
    }
  });

  test('counts revisions and leases only where they are asked for', async () => {
    const args = ['diff', at('before.tar'), live.endpoint, '--prefix', '/app/leased'];
    expect((await etcdferryInside(args)).exit).toBe(0);
    expect(lines(await etcdferryInside([...args, '--leases']))).toEqual([
      '~ /app/leased',
      expect.stringMatching(/^ {2}lease: [0-9a-f]{1,16} → none$/),
    ]);
    expect(lines(await etcdferryInside([...args, '--revisions']))).toEqual([
      '~ /app/leased',
      expect.stringMatching(/^ {2}mod revision: \d+ → \d+$/),
      '  version: 1 → 2',
    ]);
  });

  test('compares two moments of one cluster, each side by its own flag', async () => {
    const result = await etcdferryInside(['diff', live.endpoint, live.endpoint, '--from-revision', before, '--json']);
    expect(result.exit).toBe(4);
    expect(named(result)).toEqual(['changed /app/a', 'changed /app/b', 'removed /app/bye', 'changed /app/long', 'added /app/new']);
    const same = await etcdferryInside(['diff', live.endpoint, at('before.tar'), '--revision', before]);
    expect(same.exit).toBe(0);
  });

  test('prints a line of JSON a key, with both records and the unified diff, and a summary last', async () => {
    const result = await etcdferryInside([
      'diff',
      at('before.tar'),
      live.endpoint,
      '--json',
      '--prefix',
      '/app/b',
      '--exclude-prefix',
      '/app/bye',
    ]);
    expect(documents(result)).toEqual([
      {
        schema: 'etcdferry.diff/v1',
        change: 'changed',
        key: '/app/b',
        parts: ['value'],
        from: { createRevision: 3, modRevision: 3, version: 1, valueBytes: 13, value: 'one\ntwo\nthree' },
        to: { createRevision: 3, modRevision: expect.any(Number), version: 2, valueBytes: 11, value: 'one\n2\nthree' },
        diff: '@@ -1,3 +1,3 @@\n one\n-two\n+2\n three',
      },
      {
        schema: 'etcdferry.diff-summary/v1',
        differ: true,
        from: { kind: 'archive', location: at('before.tar'), api: 'v3', revision: Number(before) },
        to: { kind: 'live', location: live.endpoint, api: 'v3', revision: expect.any(Number) },
        equal: 0,
        added: 0,
        removed: 0,
        changed: 1,
        alike: 0,
        exit: 4,
        notes: [],
      },
    ]);
  });

  test('--summary counts by the first part of the key, and by resource', async () => {
    const result = await etcdferryInside(['diff', at('before.tar'), live.endpoint, '--summary']);
    expect(result.exit).toBe(4);
    expect(result.stdout.toString()).toMatch(/5 keys differ: .*\n\nWHERE +ADDED +REMOVED +CHANGED\n\/app\/ +1 +1 +3\n$/);
    const objects = await etcdferryInside([
      'diff',
      at('plain.db'),
      at('encrypted.db'),
      '--summary',
      '--json',
      '--kind',
      'Secret',
      '--kind',
      'ConfigMap',
    ]);
    expect(documents(objects)).toMatchObject([
      {
        groups: [
          { group: 'configmaps', changed: 20 },
          { group: 'secrets', changed: 20 },
        ],
      },
    ]);
  });

  test('--summary tells groups of binary keys apart, and has them as bytes in JSON', async () => {
    const sink = memorySink();
    const keys = ['\xff\x01/a', '\xff\x02/a', `${'n'.repeat(80)}1/a`].map((key) => kv(Buffer.from(key, 'latin1'), 'v'));
    await packArchive(sourceOf(keys), sink, { compress: 'gzip', toolVersion: '0.1.0' }, quietRun());
    writeFileSync(at('binary.tar'), sink.bytes());
    const plain = await etcdferryInside(['diff', at('before.tar'), at('binary.tar'), '--summary']);
    expect(plain.stdout.toString()).toMatch(/^\\xff\\x01\/ +1 .*\n\\xff\\x02\/ +1 /m);
    const json = await etcdferryInside(['diff', at('before.tar'), at('binary.tar'), '--summary', '--json']);
    const { groups } = documents(json)[0] as { groups: object[] };
    expect(groups).toContainEqual({ groupBase64: '/wEv', added: 1, removed: 0, changed: 0 });
  });

  test('v2: a live side takes the api of the archive beside it; a directory in the place of a value is a change', async () => {
    await old.etcdctl2('set', '/app/file', 'value');
    await old.etcdctl2('set', '/app/kept', 'value');
    expect((await etcdferryInside(['backup', '--api', 'v2', '--from', old.endpoint, '--to', at('tree.tar')])).exit).toBe(0);
    expect((await etcdferryInside(['diff', at('tree.tar'), old.endpoint])).exit).toBe(0);
    await old.etcdctl2('rm', '/app/file');
    await old.etcdctl2('mkdir', '/app/file');
    await old.etcdctl2('set', '--ttl', '500', '/app/kept', 'value');
    const result = await etcdferryInside(['diff', at('tree.tar'), old.endpoint]);
    expect(lines(result)).toEqual(['~ /app/file', '  a value → a directory']);
    const leases = await etcdferryInside(['diff', old.endpoint, at('tree.tar'), '--leases', '--prefix', '/app/kept']);
    expect(lines(leases)).toEqual(['~ /app/kept', '  lease: expires → none']);
  });

  test('refuses what cannot be compared, exit 2: a tree with a keyspace, a history, flags that fit nobody', async () => {
    expect((await etcdferryInside(['backup', '--from', at('before.db'), '--history', '--to', at('history.tar')])).exit).toBe(0);
    for (const [args, message] of [
      [
        [at('before.tar'), old.endpoint, '--to-api', 'v2'],
        /before.tar is a v3 keyspace, .* is a v2 tree: they cannot be compared key by key/,
      ],
      [[at('history.tar'), at('before.tar')], /history.tar is a history/],
      [[at('before.tar'), at('before.tar'), '--revision', '3'], /--revision is for a live cluster/],
      [[at('before.tar'), live.endpoint, '--from-revision', '3'], /--revision is for a live cluster/],
      [[live.endpoint, live.endpoint, '--user', 'x'], /--user: both sides are live clusters/],
      [['-', '-'], /both sides are stdin/],
    ] as const) {
      const result = await etcdferryInside(['diff', ...args]);
      expect(result).toMatchObject({ exit: 2, stderr: expect.stringMatching(message) });
    }
  });
});

describe('diff of Kubernetes', () => {
  test('shows a unified diff of the YAML, and folds the noise away', async () => {
    const args = ['diff', at('plain.db'), at('json-storage.db'), '--kind', 'Service', '--namespace', 'ml-team'];
    const loud = (await etcdferryInside(args)).stdout.toString();
    expect(loud).toMatch(/^~ \/registry\/services\/specs\/ml-team\/api {2}Service\n {2}@@ /);
    expect(loud).toMatch(/^ {2}- +uid: .*\n {2}\+ +uid: /m);
    const quiet = (await etcdferryInside([...args, '--ignore-noise'])).stdout.toString();
    expect(quiet).toMatch(/^~ \/registry\/services\/specs\/ml-team\/api {2}Service\n/);
    expect(quiet).not.toMatch(/uid|managedFields|creationTimestamp:.*"|\bstatus:/);
  });

  test('values that differ in noise alone, or in how they are stored, are equal then, exit 0', async () => {
    const args = ['diff', at('plain.db'), at('json-storage.db'), '--kind', 'Namespace', '--kind', 'Secret'];
    expect((await etcdferryInside(args)).exit).toBe(4);
    const result = await etcdferryInside([...args, '--ignore-noise', '--json']);
    expect(result.exit).toBe(0);
    expect(documents(result)).toMatchObject([{ differ: false, equal: 27, alike: 27, changed: 0 }]);
    const inner = ['--kind', 'StatefulSet', '--kind', 'ClusterRole', '--ignore-noise', '--json'];
    const folded = await etcdferryInside(['diff', at('plain.db'), at('json-storage.db'), ...inner]);
    expect(documents(folded)).toMatchObject([{ differ: false, equal: 63, alike: 63, changed: 0 }]);
  });

  test('a kind that neither side nor any release has is warned of, once', async () => {
    const kinds = ['--kind', 'NoSuch', '--kind', 'Widget', '--kind', 'widgets', '--exclude-kind', 'Job'];
    const args = ['diff', at('plain.db'), at('before.tar'), ...kinds, '--namespace', 'none'];
    expect((await etcdferryInside(args)).exit).toBe(2);
    const result = await etcdferryInside([...args, '--allow-empty']);
    expect(result).toMatchObject({ exit: 0 });
    expect(result.stderr.match(/warning.*/g)).toEqual(['warning: no record is of kind NoSuch']);
  });

  test('opens what is encrypted, and says with what it is where it cannot', async () => {
    const args = ['diff', at('plain.db'), at('encrypted.db'), '--kind', 'Secret', '--namespace', 'shop', '--name', 's-10'];
    expect(lines(await etcdferryInside(args))).toEqual([
      '~ /registry/secrets/shop/s-10  Secret',
      expect.stringMatching(/^ {2}- Secret, /),
      expect.stringMatching(/^ {2}\+ encrypted with \w+, key \w+, /),
    ]);
    const opened = await etcdferryInside([...args, '--encryption-config', CONFIG, '--ignore-noise']);
    expect(opened).toMatchObject({ exit: 0, stderr: expect.stringMatching(/no difference: 1 key equal \(1 but for noise or sealing\)/) });
  });
});
