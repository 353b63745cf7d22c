import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type CliResult, etcdferryInside } from '../support/cli.js';
import { EtcdServer, newestEtcd } from '../support/etcd.js';
import { temporaryDirectory } from '../support/temp.js';

const DATA = join(import.meta.dirname, '../../testdata/kubernetes-1.20');
const CONFIG = join(DATA, 'encryption-config.yaml');
const directory = temporaryDirectory();
const at = (name: string): string => join(directory, name);

let live: EtcdServer;

function documents(result: CliResult): Record<string, unknown>[] {
  return result.stdout
    .toString()
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

const verify = (...args: string[]): Promise<CliResult> => etcdferryInside(['verify', ...args]);

beforeAll(async () => {
  live = await EtcdServer.start(newestEtcd());
  for (const name of ['plain', 'encrypted']) {
    writeFileSync(at(`${name}.db`), gunzipSync(readFileSync(join(DATA, `${name}.db.gz`))));
    expect((await etcdferryInside(['backup', '--from', at(`${name}.db`), '--to', at(`${name}.tar`)])).exit).toBe(0);
  }
  for (const key of ['a', 'b', 'c']) await live.etcdctl('put', `/app/${key}`, `value of ${key}`);
  expect((await etcdferryInside(['backup', '--from', live.endpoint, '--to', at('live.tar')])).exit).toBe(0);
});

afterAll(() => live.stop());

describe('verify --depth', () => {
  test('account is content where segments are not, and says that it did not look', async () => {
    const damaged = readFileSync(at('plain.tar'));
    damaged[damaged.length >> 1] = (damaged[damaged.length >> 1] as number) ^ 1;
    writeFileSync(at('damaged.tar'), damaged);
    const account = await verify(at('damaged.tar'), '--depth', 'account');
    expect(account).toMatchObject({ exit: 0 });
    expect(account.stdout.toString()).toMatch(/damaged\.tar: the account holds, of an archive that states 317 records at revision 351/);
    expect(documents(await verify(at('damaged.tar'), '--depth', 'account', '--json'))).toMatchObject([
      { passed: true, whole: false, depth: 'account', records: 317 },
      { verified: 1, passed: 1, whole: 0, failed: 0, exit: 0 },
    ]);
    expect((await verify(at('damaged.tar'))).exit).toBe(12);
    expect((await verify(at('damaged.tar'), '--depth', 'records')).exit).toBe(12);
  });

  test('records decodes every value, and counts by kind, in archives and in snapshot files', async () => {
    const results = documents(await verify(at('plain.tar'), at('plain.db'), '--depth', 'records', '--json'));
    for (const result of results.slice(0, 2)) {
      expect(result).toMatchObject({ whole: true, contents: { records: 317, opened: 0, locked: 0 } });
      const { kinds } = result.contents as { kinds: { kind: string; apiVersion: string; records: number }[] };
      expect(kinds).toContainEqual(expect.objectContaining({ kind: 'Secret', apiVersion: 'v1', records: 20 }));
      expect(kinds.reduce((sum, { records }) => sum + records, 0)).toBe(317);
    }
  });

  test('records opens what is encrypted; what no key opens is exit 3, and nothing without a configuration', async () => {
    const open = await verify(at('encrypted.tar'), '--depth', 'records', '--encryption-config', CONFIG);
    expect(open).toMatchObject({ exit: 0 });
    expect(open.stdout.toString()).toMatch(/317 records looked at, \d+ kinds, 42 encrypted ones opened\n/);
    expect((await verify(at('encrypted.tar'), '--depth', 'records')).stdout.toString()).toMatch(/, 42 stay encrypted\n/);
    const wrong =
      'kind: EncryptionConfiguration\napiVersion: apiserver.config.k8s.io/v1\nresources: [{resources: [secrets], providers: [{identity: {}}]}]\n';
    writeFileSync(at('wrong.yaml'), wrong);
    const closed = await verify(at('encrypted.tar'), '--depth', 'records', '--encryption-config', at('wrong.yaml'));
    expect(closed).toMatchObject({ exit: 3, stderr: expect.stringMatching(/encrypted values that no key given opens: 42/) });
  });

  test('account is not for what has none, exit 2; others are verified all the same', async () => {
    const result = await verify(at('plain.db'), at('plain.tar'), '--depth', 'account');
    expect(result.exit).toBe(2);
    expect(result.stdout.toString()).toMatch(
      /plain\.db: is a snapshot file, which has no account.*\n.*plain\.tar: the account holds.*\n2 locations: 1 passed, 1 not\n/,
    );
  });

  test('a sample says which part it is; all parts of one are the whole', async () => {
    const result = await verify(at('plain.tar'), '--sample', '1/1');
    expect(result.stdout.toString()).toMatch(/sound in the sample \(part 1 of 1: 1 of 1 segment, 317 records\)/);
    for (const sample of ['2/7', '1/0', '1/400', '7', ''])
      expect(await verify(at('plain.tar'), '--sample', sample)).toMatchObject({
        exit: 2,
        stderr: expect.stringMatching(/is no part like 1\/7/),
      });
  });

  test('flags that do not go together are refused', async () => {
    for (const [flags, says] of [
      [['--depth', 'account', '--sample', '1/7'], /--sample chooses segments/],
      [['--encryption-config', CONFIG], /--encryption-config is for --depth records/],
      [['--ignore-kind', 'Event'], /--ignore-kind is for --against/],
      [['--cacert', 'x.pem'], /--cacert is for --against/],
    ] as const)
      expect(await verify(at('plain.tar'), ...flags)).toMatchObject({ exit: 2, stderr: expect.stringMatching(says) });
  });
});

describe('verify --against', () => {
  test('a cluster that has moved on is compared at the revision of the archive', async () => {
    await live.etcdctl('put', '/app/d', 'new');
    const result = documents(await verify(at('live.tar'), '--against', live.endpoint, '--json'));
    expect(result).toMatchObject([{ passed: true, against: { at: 'same-revision', differ: false, equal: 3 } }, { exit: 0 }]);
  });

  test('at the latest where that revision is compacted, and says so; differences are named, exit 4', async () => {
    await live.etcdctl('put', '/app/a', 'changed');
    await live.etcdctl('del', '/app/b');
    const { revision } = JSON.parse(await live.etcdctl('get', '/app/a', '-w', 'json')).header as { revision: number };
    await live.etcdctl('compaction', String(revision));
    const result = await verify(at('live.tar'), '--against', live.endpoint);
    expect(result.exit).toBe(4);
    expect(result.stdout.toString()).toMatch(
      /whole archive.*; DIFFERS from http.* at revision \d+, its latest: 1 only there, 1 only here, 1 changed, 1 equal\n {2}~ \/app\/a\n {2}- \/app\/b\n {2}\+ \/app\/d\n$/,
    );
    const expected = ['--ignore-prefix', '/app/a', '--ignore-prefix', '/app/b', '--ignore-prefix', '/app/d'];
    expect((await verify(at('live.tar'), '--against', live.endpoint, ...expected)).exit).toBe(0);
  });

  test('kinds that are expected to move do not count', async () => {
    const kinds = ['--ignore-kind', 'Secret', '--ignore-kind', 'ConfigMap'];
    const [all, some] = await Promise.all([
      verify(at('plain.tar'), '--against', at('encrypted.db'), '--json'),
      verify(at('plain.tar'), '--against', at('encrypted.db'), '--json', ...kinds),
    ]);
    expect(documents(all)).toMatchObject([
      { passed: false, against: { at: 'latest', differ: true, changed: 316 } },
      { failed: 1, exit: 4 },
    ]);
    expect(documents(some)).toMatchObject([{ against: { changed: 276, equal: 1 } }, {}]);
  });

  test('an archive of a part of the keys is compared with that part; a snapshot file with an archive', async () => {
    expect(
      (await etcdferryInside(['backup', '--from', at('plain.db'), '--to', at('part.tar'), '--prefix', '/registry/secrets/'])).exit,
    ).toBe(0);
    expect(documents(await verify(at('part.tar'), '--against', at('plain.db'), '--json'))).toMatchObject([
      { against: { differ: false, equal: 20 } },
      {},
    ]);
    expect(documents(await verify(at('plain.db'), '--against', at('plain.tar'), '--json'))).toMatchObject([
      { kind: 'snapshot-file', against: { differ: false, equal: 317 } },
      {},
    ]);
  });

  test('an archive of chosen objects is compared with those objects, also one made of such an archive', async () => {
    const make = async (from: string, to: string, ...flags: string[]) =>
      expect(await etcdferryInside(['backup', '--from', at(from), '--to', at(to), ...flags])).toMatchObject({ exit: 0 });
    await make('plain.db', 'secrets.tar', '--kind', 'Secret', '--kind', 'ConfigMap');
    await make('secrets.tar', 'shop.tar', '--namespace', 'shop', '--exclude-kind', 'ConfigMap');
    const counts = async (archive: string, other: string, ...flags: string[]) =>
      documents(await verify(at(archive), '--against', at(other), '--json', ...flags))[0];
    expect(await counts('secrets.tar', 'plain.db')).toMatchObject({ against: { differ: false, equal: 40 } });
    expect(await counts('secrets.tar', 'plain.db', '--ignore-kind', 'ConfigMap')).toMatchObject({ against: { differ: false, equal: 20 } });
    expect(await counts('shop.tar', 'plain.db')).toMatchObject({ against: { differ: false, equal: 10 } });
    // What another cluster has of those objects counts.
    expect(await counts('shop.tar', 'encrypted.db')).toMatchObject({ against: { differ: true, added: 0, changed: 10 } });
  });

  test('says how many keys were equal', async () => {
    const result = await verify(at('plain.tar'), '--against', at('plain.db'));
    expect(result.stdout.toString()).toMatch(/; the same as .*plain\.db at revision 351(, its latest)?, 317 keys equal\n$/);
  });

  test('where all was ignored nothing was compared, and it cannot be the same', async () => {
    for (const flags of [
      ['--ignore-prefix', '/', '--ignore-prefix', 'compact_rev_key'],
      ['--ignore-prefix', '/registry/', '--ignore-prefix', 'compact'],
    ]) {
      const result = await verify(at('plain.tar'), '--against', at('encrypted.db'), ...flags);
      expect(result.exit).toBe(2);
      expect(result.stdout.toString()).toMatch(/plain\.tar: nothing was compared with .*encrypted\.db: all it holds is ignored\n/);
    }
    for (const [flag, command] of [
      ['--ignore-prefix', ['verify', at('plain.tar'), '--against', at('encrypted.db')]],
      ['--exclude-prefix', ['diff', at('plain.tar'), at('encrypted.db')]],
      ['--exclude-prefix', ['backup', '--from', at('plain.db'), '--to', at('nothing.tar')]],
    ] as const) {
      const result = await etcdferryInside([...command, flag, '']);
      expect(result).toMatchObject({ exit: 2, stderr: expect.stringContaining(`${flag} is empty, which is every key`) });
    }
  });

  test('an empty archive is the same as an empty source where it is meant that nothing is compared', async () => {
    for (const name of ['none', 'none-either'])
      await etcdferryInside(['backup', '--from', at('plain.db'), '--to', at(`${name}.tar`), '--prefix', '/none/', '--allow-empty']);
    const args = [at('none.tar'), '--against', at('none-either.tar'), '--ignore-prefix', '/x'];
    expect(await verify(...args)).toMatchObject({ exit: 2 });
    const result = await verify(...args, '--allow-empty');
    expect(result).toMatchObject({ exit: 0 });
    expect(result.stdout.toString()).toContain(', 0 keys equal');
  });

  test('a kind that nobody knows is warned of, once', async () => {
    const kinds = ['NoSuch', 'Widget', 'secrets', 'CronJob', 'deployments.apps', 'Deployment.batch'].flatMap((kind) => [
      '--ignore-kind',
      kind,
    ]);
    const result = await verify(at('plain.tar'), at('plain.db'), '--against', at('plain.db'), ...kinds);
    expect(result.exit).toBe(0);
    expect(result.stderr.match(/no record is of kind .*/g)).toEqual([
      'no record is of kind NoSuch',
      'no record is of kind Deployment.batch',
    ]);
  });

  test('stdin cannot be read twice', async () => {
    for (const args of [
      ['-', '-'],
      ['-', '--against', '-'],
    ]) {
      const result = await etcdferryInside(['verify', ...args], readFileSync(at('plain.tar')));
      expect(result).toMatchObject({ exit: 2, stderr: expect.stringMatching(/stdin can be read only once/) });
      expect(result.stdout.toString()).toBe('');
    }
  });

  test('an archive on stdin too', async () => {
    const result = await etcdferryInside(['verify', '-', '--against', at('plain.db')], readFileSync(at('plain.tar')));
    expect(result).toMatchObject({ exit: 0 });
  });
});
