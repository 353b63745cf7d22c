import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type CliResult, etcdferryInside, jsonOf } from '../support/cli.js';
import { EtcdServer, etcdWithV2, newestEtcd } from '../support/etcd.js';
import { temporaryDirectory } from '../support/temp.js';
import { V2Client } from '../support/v2.js';

const directory = temporaryDirectory();
const at = (name: string): string => join(directory, name);
const ferry = (...args: string[]): Promise<CliResult> => etcdferryInside(args);

const secret = (name: string): string => JSON.stringify({ apiVersion: 'v1', kind: 'Secret', metadata: { namespace: 'shop', name } });

let v3: EtcdServer;
let v2: EtcdServer;
let target: EtcdServer;

beforeAll(async () => {
  [v3, v2, target] = await Promise.all([
    EtcdServer.start(newestEtcd()),
    EtcdServer.start(etcdWithV2(), { args: ['--enable-v2'] }),
    EtcdServer.start(newestEtcd()),
  ]);
  await v3.etcdctl('put', '/registry/secrets/shop/a', secret('a'));
  await v3.etcdctl('put', '/registry/pods/shop/p', '{"apiVersion":"v1","kind":"Pod","metadata":{"namespace":"shop","name":"p"}}');
  await new V2Client(v2.endpoint).put('/app/config/a', '1');
  for (const [file, ...from] of [
    ['v3.tar', v3.endpoint],
    ['v3.tar.age', v3.endpoint],
    ['v2.tar', v2.endpoint, '--api', 'v2'],
  ] as const) {
    writeFileSync(at('passphrase'), 'not a secret here');
    const seal = file.endsWith('.age') ? ['--passphrase-file', at('passphrase')] : [];
    expect((await ferry('backup', '--from', ...from, '--to', at(file), ...seal)).exit).toBe(0);
  }
  expect((await ferry('restore', '--from', at('v3.tar'), '--to', at('v3.db'))).exit).toBe(0);
});

afterAll(() => Promise.all([v3.stop(), v2.stop(), target.stop()]));

/** What is misspelt, and what its message has to name in its place. */
const SLIPS: readonly (readonly [flags: readonly string[], near: RegExp])[] = [
  [['--prefix', '/registy/'], /\/registry\//],
  [['--prefix', '/registry/secret/'], /\/registry\/secrets\//],
  [['--prefix', '/registry/secrets/shopp/', '--prefix', '/x/'], /\/registry\/secrets\/shop\//],
  [['--kind', 'Secrt'], /Secret/],
  [['--namespace', 'sho'], /shop/],
  [['--object-name', 'b'], /there is a/],
  [['--kind', 'Pod', '--object-name', 'a'], /kind Pod and named a/],
  [['--exclude-prefix', '/'], /excluded/],
  [['--exclude-kind', 'Secret', '--exclude-kind', 'Pod'], /excluded/],
];

describe('what selects nothing of a source that holds something', () => {
  const sources = [
    ['a live cluster', () => [v3.endpoint]],
    ['a snapshot of a live cluster', () => [v3.endpoint, '--via', 'snapshot']],
    ['an archive', () => [at('v3.tar')]],
    ['an encrypted archive', () => [at('v3.tar.age'), '--passphrase-file', at('passphrase')]],
    ['a snapshot file', () => [at('v3.db')]],
  ] as const;

  test.each(sources)(
    'ends a backup and a restore of %s with 2, and nothing is written',
    async (_, from) => {
      const isLive = from()[0] === v3.endpoint;
      // A passphrase takes its time.
      const slips = from().includes('--passphrase-file') ? SLIPS.filter(([flags]) => /^\/registy|^Secrt/.test(flags[1] ?? '')) : SLIPS;
      for (const [flags, near] of slips) {
        const kept = readdirSync(directory).length;
        const runs = [
          // A passphrase would encrypt what is written, too.
          ...(from().includes('--passphrase-file') ? [] : [['backup', '--from', ...from(), '--to', at('new.tar')]]),
          ...(isLive ? [['backup', '--from', ...from(), '--to', '-']] : []),
          ...(isLive ? [] : [['restore', '--from', ...from(), '--to', at('new.db')]]),
          ...(isLive ? [] : [['restore', '--from', ...from(), '--to', target.endpoint]]),
          ...(isLive || flags !== SLIPS[0]?.[0] ? [] : [['restore', '--from', ...from(), '--to', target.endpoint, '--dry-run']]),
        ];
        for (const run of runs) {
          const result = await ferry(...run, ...flags);
          expect([run, flags, result.exit, result.stdout.length, result.stderr]).toEqual([run, flags, 2, 0, expect.stringMatching(near)]);
          expect(result.stderr).toContain('--allow-empty');
        }
        expect(readdirSync(directory)).toHaveLength(kept);
      }
      expect(await target.etcdctl('get', '', '--from-key', '--keys-only')).toBe('');
    },
    120_000,
  );

  test('is warned of by ls and inspect, and ends diff and verify --against with 2', async () => {
    for (const [flags, near] of SLIPS) {
      const shown = await ferry('inspect', at('v3.tar'), ...flags);
      expect([flags, shown.exit, shown.stderr]).toEqual([flags, 0, expect.stringMatching(near)]);
      const compared = await ferry('diff', at('v3.tar'), v3.endpoint, ...flags);
      expect([flags, compared.exit, compared.stderr]).toEqual([flags, 2, expect.stringMatching(near)]);
      expect((await ferry('diff', at('v3.tar'), v3.endpoint, ...flags, '--allow-empty')).exit).toBe(0);
    }
    expect(await ferry('ls', at('v3.tar'), '/registy/')).toMatchObject({ exit: 0, stderr: expect.stringMatching(/warning.*\/registry\//) });
    const ignored = await ferry('verify', at('v3.tar'), '--against', v3.endpoint, '--ignore-prefix', '/');
    expect(ignored).toMatchObject({ exit: 2 });
  });

  test('is let pass where it is said to be meant, and where nothing was chosen', async () => {
    const args = ['--from', v3.endpoint, '--prefix', '/registy/', '--allow-empty'];
    expect((await ferry('backup', ...args, '--to', at('none.tar'))).exit).toBe(0);
    // Made of nothing, it holds nothing: that is all there is of it.
    expect((await ferry('restore', '--from', at('none.tar'), '--to', at('none.db'))).exit).toBe(0);
    expect((await ferry('ls', at('none.tar'))).stderr).toBe('');
    writeFileSync(at('config.yaml'), `profiles:\n  none: { from: "${v3.endpoint}", prefix: /registy/, to: ${at('profile.tar')} }\n`);
    const profile = ['backup', '--config', at('config.yaml'), '--profile', 'none'];
    expect((await ferry(...profile)).exit).toBe(2);
    writeFileSync(
      at('config.yaml'),
      `profiles:\n  none: { from: "${v3.endpoint}", prefix: /registy/, allow-empty: true, to: ${at('profile.tar')} }\n`,
    );
    expect((await ferry(...profile)).exit).toBe(0);
  });

  test('puts nothing into a repository, and of several profiles ends its own', async () => {
    const to = ['--to', `${at('repository')}/`, '--create', '--name', 'one'];
    expect((await ferry('backup', '--from', v3.endpoint, ...to)).exit).toBe(0);
    for (const more of [[], ['--skip-unchanged'], ['--dry-run']])
      expect((await ferry('backup', '--from', v3.endpoint, ...to, '--prefix', '/registy/', ...more)).exit).toBe(2);
    expect((jsonOf(await ferry('list', at('repository'), '--json')) as { archives: object[] }).archives).toHaveLength(1);
    const profile = `from: "${v3.endpoint}", to: ${at('repository')}/`;
    writeFileSync(at('config.yaml'), `profiles:\n  good: { ${profile} }\n  slip: { ${profile}, prefix: /registy/ }\n`);
    const all = await ferry('backup', '--config', at('config.yaml'), '--all-profiles', '--json');
    expect(all.exit).toBe(2);
    expect(jsonOf(all)).toMatchObject({
      profiles: [
        { profile: 'good', exit: 0 },
        { profile: 'slip', exit: 2 },
      ],
    });
  });

  test('is said of one prefix, kind or namespace beside others that are there, which are backed up', async () => {
    const args = ['backup', '--from', v3.endpoint, '--to', at('some.tar'), '--overwrite'];
    const prefixes = await ferry(...args, '--prefix', '/registry/pods/', '--prefix', '/registry/secret/');
    expect(prefixes).toMatchObject({ exit: 0, stderr: expect.stringMatching(/warning.*\/registry\/secret\//) });
    const kinds = await ferry(...args, '--kind', 'Secret', '--kind', 'Pdo');
    expect(kinds).toMatchObject({ exit: 0, stderr: expect.stringMatching(/warning.*kind Pdo \(there is Pod/) });
    expect((await ferry(...args, '--prefix', '/registry/pods/', '--prefix', '/registry/secrets/')).stderr).not.toContain('warning');
  });

  test('archives made of different keys are not compared as if they were the same', async () => {
    for (const name of ['pods', 'secrets'])
      expect((await ferry('backup', '--from', v3.endpoint, '--prefix', `/registry/${name}/`, '--to', at(`${name}.tar`))).exit).toBe(0);
    const apart = await ferry('diff', at('pods.tar'), at('secrets.tar'));
    expect(apart).toMatchObject({ exit: 2, stderr: expect.stringMatching(/taken with different keys/) });
    expect((await ferry('verify', at('pods.tar'), '--against', at('secrets.tar'))).exit).toBe(2);
    // Against the whole only what both were taken with counts, and that is said.
    const shared = await ferry('diff', at('pods.tar'), v3.endpoint);
    expect(shared).toMatchObject({
      exit: 0,
      stderr: expect.stringMatching(/only keys that both sides were taken with.*\/registry\/pods\//),
    });
    expect((await ferry('verify', at('v3.tar'), '--against', at('pods.tar'))).exit).toBe(0);
  });
});

describe('of a v2 tree', () => {
  const from = { live: () => [v2.endpoint, '--api', 'v2'], archive: () => [at('v2.tar')] };

  test.each(['live', 'archive'] as const)(
    '(%s) a prefix that no path begins with is refused, and one that none has is told',
    async (kind) => {
      const migrated = kind === 'live' ? [v2.endpoint] : [at('v2.tar')];
      for (const prefix of ['app', 'app/', '//app', '/app//', '/app/../x', '/./', '/typo/', '/app/confg/']) {
        const runs = [
          ['backup', '--from', ...from[kind](), '--to', at('new.tar')],
          ['migrate', '--from', ...migrated, '--to', at('new.db')],
          ['migrate', '--from', ...migrated, '--to', target.endpoint],
          ['migrate', '--from', ...migrated, '--to', target.endpoint, '--dry-run'],
          ...(kind === 'live' ? [] : [['restore', '--from', at('v2.tar'), '--to', v2.endpoint]]),
        ];
        for (const run of runs) {
          const result = await ferry(...run, '--prefix', prefix);
          expect([run, prefix, result.exit]).toEqual([run, prefix, 2]);
          expect(result.stderr).toMatch(
            prefix.startsWith('/app/conf') || prefix === '/typo/' ? /Near to it is \/app\// : /no path of a v2 tree/,
          );
          expect(result.stderr + result.stdout).not.toContain('proven');
        }
        expect(existsSync(at('new.tar')) || existsSync(at('new.db'))).toBe(false);
      }
      expect(await target.etcdctl('get', '', '--from-key', '--keys-only')).toBe('');
    },
  );

  test('nothing is called proven of no keys', async () => {
    const result = await ferry('migrate', '--from', at('v2.tar'), '--to', target.endpoint, '--prefix', '/typo/', '--allow-empty');
    expect([result.exit, result.stderr]).toEqual([0, expect.not.stringContaining('proven')]);
  });
});
