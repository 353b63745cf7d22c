import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type CliResult, etcdferry, etcdferryInside, jsonOf } from '../support/cli.js';
import { EtcdServer, newestEtcd } from '../support/etcd.js';
import { healthcheckService } from '../support/healthcheck.js';
import { impostor } from '../support/impostor.js';
import { addArchive, newRepository } from '../support/repository.js';
import { temporaryDirectory } from '../support/temp.js';
import { tool } from '../support/tools.js';

const directory = temporaryDirectory();
const SOURCE = join(directory, 'source.tar');
copyFileSync(join(import.meta.dirname, '../../testdata/archive/v1-key.tar'), SOURCE);
let count = 0;

function place(): string {
  const path = join(directory, String(++count));
  mkdirSync(path);
  return path;
}

const archivesIn = (path: string): string[] => readdirSync(path).filter((name) => name.endsWith('.tar'));
const sample = (path: string, metric: string, name: string): number | undefined => {
  const value = new RegExp(`^etcdferry_${metric}\\{name="${name}"\\} (.*)$`, 'm').exec(readFileSync(path, 'utf8'))?.[1];
  return value === undefined ? undefined : Number(value);
};

describe('backup into a repository', () => {
  test('prunes its own NAME in the same run, and tells those who watch', async () => {
    const path = join(place(), 'repo');
    const repository = await newRepository(path);
    for (const name of ['prod', 'other'])
      for (let day = 9; day > 0; day--) await addArchive(repository, name, Date.now() - day * 86_400_000);
    await using hc = await healthcheckService();
    const metrics = join(directory, 'a.prom');
    await using server = await EtcdServer.start(newestEtcd());
    await server.etcdctl('put', 'a', 'b');
    const args = ['backup', '--from', server.endpoint, '--to', path, '--name', 'prod', '--metrics', metrics];
    const { exit, stderr, stdout } = await etcdferry([
      ...args,
      '--prune',
      '--keep-last',
      '3',
      '--healthcheck',
      hc.url('/ping/x').href,
      '--json',
    ]);
    expect(exit, stderr).toBe(0);
    expect(JSON.parse(stdout.toString())).toMatchObject({
      schema: 'etcdferry.backup/v1',
      prune: { schema: 'etcdferry.prune/v1', removed: 7, kept: 3 },
    });
    expect(archivesIn(path).map((file) => file.replace(/-.*/, ''))).toEqual([...Array(9).fill('other'), ...Array(3).fill('prod')]);
    expect(hc.asked.map(({ url }) => url)).toEqual(['/ping/x/start', '/ping/x']);
    expect(hc.asked[1]?.body).toMatch(/^backed up 1 key /);
    expect(sample(metrics, 'repository_archives', 'prod')).toBe(3);
    expect(sample(metrics, 'backup_keys', 'prod')).toBe(1);
    await tool('promtool', ['check', 'metrics'], readFileSync(metrics));
    // And when the cluster is gone: loud, and the last success stays.
    await server.stop();
    const success = sample(metrics, 'backup_last_success_timestamp_seconds', 'prod');
    const failed = await etcdferryInside([...args, '--healthcheck', hc.url('/ping/x').href, '--dial-timeout', '1s']);
    expect(failed.exit).toBe(10);
    expect(hc.asked.map(({ url }) => url).slice(2)).toEqual(['/ping/x/start', '/ping/x/fail']);
    expect(sample(metrics, 'backup_last_success_timestamp_seconds', 'prod')).toBe(success);
    expect(sample(metrics, 'backup_last_run_exit_status', 'prod')).toBe(10);
    expect(sample(metrics, 'repository_archives', 'prod')).toBe(3);
    await tool('promtool', ['check', 'metrics'], readFileSync(metrics));
  });

  test('is done although nobody who watches can be told', async () => {
    const path = place();
    const args = ['--metrics', join(directory, 'missing/a.prom'), '--healthcheck', 'http://127.0.0.1:1/secret'];
    const { exit, stderr } = await etcdferryInside(['backup', '--from', SOURCE, '--to', path, ...args]);
    expect(exit).toBe(0);
    expect(stderr).toMatch(/warning: writing metrics to .*missing\/a\.prom/);
    expect(stderr).toMatch(/warning: the healthcheck at 127\.0\.0\.1:1 could not be told of the success/);
    expect(archivesIn(path)).toHaveLength(1);
  });

  test('tells no service whose certificate is none, whatever the environment says', async () => {
    using service = await impostor();
    const { exit, stderr } = await etcdferry(['backup', '--from', SOURCE, '--to', place(), '--healthcheck', `${service.url}/secret-uuid`], {
      env: { NODE_TLS_REJECT_UNAUTHORIZED: '0' },
    });
    expect(exit).toBe(0);
    expect(stderr).toContain('UNABLE_TO_VERIFY_LEAF_SIGNATURE');
    expect(stderr).not.toContain('secret-uuid');
    expect(service.asked()).toBe(0);
  });

  test('tells nobody of a dry run', async () => {
    await using hc = await healthcheckService();
    const args = ['--metrics', join(directory, 'dry.prom'), '--healthcheck', hc.url('/x').href, '--dry-run'];
    expect(await etcdferryInside(['backup', '--from', SOURCE, '--to', place(), ...args])).toMatchObject({ exit: 0 });
    expect({ asked: hc.asked, metrics: existsSync(join(directory, 'dry.prom')) }).toEqual({ asked: [], metrics: false });
  });

  test.each([
    ['a policy without --prune', ['--keep-last', '3'], /without --prune/],
    ['--prune without a policy', ['--prune'], /without a policy/],
    ['a policy that keeps nothing', ['--prune', '--keep-last', '0'], /would keep nothing/],
    ['no healthcheck URL', ['--healthcheck', 'secret'], /--healthcheck is not a URL/],
    ['a profile’s flag', ['--parallel', '3'], /--parallel is for profiles/],
  ])('is refused before anything is done with %s: 2', async (_, args, says) => {
    const path = place();
    const { exit, stderr } = await etcdferryInside(['backup', '--from', SOURCE, '--to', path, ...args]);
    expect({ exit, lines: stderr.trimEnd().split('\n').length }).toEqual({ exit: 2, lines: 2 });
    expect(stderr).toMatch(says);
    expect(readdirSync(path)).toEqual([]);
  });
});

describe('profiles', () => {
  /** Three profiles: two that work, and one whose source is missing. */
  function configured(): { path: string; config: string; metrics: string } {
    const path = place();
    const [config, metrics] = [join(path, 'c.yaml'), join(path, 'm.prom')];
    mkdirSync(join(path, 'repo'));
    writeFileSync(
      config,
      `repositories: { r: { location: ${join(path, 'repo')} } }
policies: { p: { keep-last: 2 } }
profiles:
  good: { from: ${SOURCE}, repository: r, policy: p, metrics: ${metrics} }
  bad: { from: ${join(path, 'missing.tar')}, repository: r, metrics: ${metrics} }
  part: { from: ${SOURCE}, to: ${join(path, 'part.tar')}, prefix: /svc/ }
`,
    );
    return { path: join(path, 'repo'), config, metrics };
  }
  const backUp = (config: string, ...args: string[]): Promise<CliResult> => etcdferryInside(['backup', '--config', config, ...args]);

  test('make the cron line short: one is the command line it stands for', async () => {
    const { path, config } = configured();
    const { exit, stderr } = await backUp(config, '--profile', 'good');
    expect(stderr).toMatch(/^backed up 369 keys .* to .*good-.*\nremoved 0 archives/);
    expect(exit).toBe(0);
    expect(archivesIn(path)).toEqual([expect.stringMatching(/^good-.*\.etcd\.tar$/)]);
    expect((await backUp(config, '--profile', 'bad')).exit).toBe(2);
    expect((await backUp(config, '--profile', 'good', '--name', 'mine')).exit).toBe(0);
    expect(archivesIn(path)).toHaveLength(2);
  });

  test('run side by side; one that fails does not stop the others; one table at the end', async () => {
    const { path, config, metrics } = configured();
    const { exit, stderr, stdout } = await backUp(config, '--all-profiles');
    expect({ exit, stdout: stdout.toString() }).toEqual({ exit: 2, stdout: '' });
    const lines = stderr.trimEnd().split('\n');
    expect(lines.slice(0, 2)).toEqual([
      expect.stringMatching(/^bad: etcdferry: .*missing\.tar: no such file/),
      expect.stringMatching(/^bad: {3}/),
    ]);
    expect(lines.slice(2).map((line) => line.split(/ {2,}/).slice(0, 4))).toEqual([
      ['PROFILE', 'RESULT', 'KEYS', 'REVISION'],
      ['good', 'done', '369', '543'],
      ['bad', 'failed (2)', expect.stringMatching(/ms$/), 'not-found'],
      ['part', 'done', expect.any(String), '543'],
    ]);
    expect(archivesIn(path)).toHaveLength(1);
    expect([sample(metrics, 'backup_last_run_success', 'good'), sample(metrics, 'backup_last_run_success', 'bad')]).toEqual([1, 0]);
  });

  test('are chosen by name, and told as JSON', async () => {
    const { config } = configured();
    const done = await backUp(config, '--profile', 'part', '--profile', 'bad', '--parallel', '1', '--json');
    expect(done.exit).toBe(2);
    expect(jsonOf(done)).toEqual({
      schema: 'etcdferry.backup-profiles/v1',
      profiles: [
        { profile: 'part', exit: 0, backup: expect.objectContaining({ schema: 'etcdferry.backup/v1' }) },
        { profile: 'bad', exit: 2, error: expect.objectContaining({ code: 'not-found', exit: 2 }) },
      ],
      exit: 2,
    });
  });

  test.each<[string, string[], NodeJS.ProcessEnv, RegExp]>([
    ['that is not there', ['--profile', 'goood'], {}, /"goood" is not known\n {2}Did you mean good\?/],
    ['beside all of them', ['--profile', 'good', '--all-profiles'], {}, /both --profile and --all-profiles/],
    ['with one source for several', ['--all-profiles', '--from', SOURCE], {}, /--from would count for all 3 profiles/],
    ['with one NAME for several', ['--all-profiles', '--name', 'x'], {}, /--name would count for all 3/],
    [
      'with one cluster in the environment',
      ['--all-profiles'],
      { ETCDCTL_ENDPOINTS: 'http://x' },
      /\$ETCDCTL_ENDPOINTS would count for all 3/,
    ],
    ['none at a time', ['--all-profiles', '--parallel', '0'], {}, /--parallel: 0/],
  ])('are refused %s: 2', async (_, args, env, says) => {
    const { path, config } = configured();
    const { exit, stderr } = await etcdferry(['backup', '--config', config, ...args], { env });
    expect(stderr).toMatch(says);
    expect(exit).toBe(2);
    expect(archivesIn(path)).toEqual([]);
  });

  test('are found in $ETCDFERRY_CONFIG and in the directory one stands in', async () => {
    const { path, config } = configured();
    const none = await etcdferry(['backup', '--profile', 'good'], { cwd: directory, env: { HOME: directory, XDG_CONFIG_HOME: '' } });
    expect(none).toMatchObject({ exit: 2, stderr: expect.stringContaining('no configuration file') });
    expect(await etcdferry(['backup', '--profile', 'good'], { cwd: directory, env: { ETCDFERRY_CONFIG: config } })).toMatchObject({
      exit: 0,
    });
    const here = place();
    copyFileSync(config, join(here, 'etcdferry.yaml'));
    expect(await etcdferry(['backup', '--profile', 'part'], { cwd: here })).toMatchObject({ exit: 0 });
    expect(archivesIn(path)).toHaveLength(1);
  });
});
