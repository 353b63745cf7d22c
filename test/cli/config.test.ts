import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type Config, findConfig, readConfig } from '../../src/cli/config-file.js';
import { kindsOf, type SettingKeys } from '../../src/cli/config-values.js';
import { connectionOptions } from '../../src/cli/options.js';
import { applyProfile, chosenProfiles } from '../../src/cli/profiles.js';
import { retentionOptions } from '../../src/cli/retention-options.js';
import { parseLocation } from '../../src/locations/parse.js';
import { temporaryDirectory } from '../support/temp.js';

const directory = temporaryDirectory();
const KEYS: SettingKeys = {
  clusters: { ...kindsOf(connectionOptions), endpoints: 'words', api: ['v2', 'v3'] },
  repositories: { location: 'string', recipient: 'list', 'passphrase-file': 'string', 's3-endpoint': 'string' },
  policies: kindsOf(retentionOptions),
  profiles: {
    cluster: 'string',
    repository: 'string',
    policy: 'string',
    prefix: 'list',
    'skip-unchanged': 'boolean',
    from: 'string',
    to: 'string',
  },
};
const PROD = `
clusters:
  prod:
    endpoints: [https://a:2379, https://b:2379]
    cacert: ca.pem
    cert: c.pem
    key: k.pem
    user: backup
    password: \${PROD_PASSWORD}
repositories:
  offsite: { location: "s3://bucket/etcd", recipient: age1x, s3-endpoint: "http://s3" }
policies:
  standard: { keep-daily: 7, keep-weekly: "4" }
profiles:
  prod: { cluster: prod, repository: offsite, policy: standard, skip-unchanged: true }
  bare: { from: /var/lib/etcd, to: /backup }
`;

let count = 0;
async function configOf(
  text: string,
  env: Record<string, string> = { PROD_PASSWORD: 'hidden' },
  mode = 0o600,
): Promise<Config & { warnings: string[] }> {
  const path = join(directory, `${++count}.yaml`);
  writeFileSync(path, text);
  chmodSync(path, mode);
  const warnings: string[] = [];
  return { ...(await readConfig(path, KEYS, env, (line) => void warnings.push(line))), warnings };
}

describe('a profile', () => {
  test('says what flags and environment do not', async () => {
    const { args, env, warnings } = await applyProfile(await configOf(PROD), 'prod', { json: true, quiet: undefined }, { HOME: '/root' });
    expect(args).toEqual({
      json: true,
      to: 's3://bucket/etcd',
      recipient: ['age1x'],
      's3-endpoint': 'http://s3',
      'keep-daily': '7',
      'keep-weekly': '4',
      prune: true,
      'skip-unchanged': true,
    });
    expect(env).toEqual({
      HOME: '/root',
      ETCDCTL_ENDPOINTS: 'https://a:2379,https://b:2379',
      ETCDCTL_CACERT: 'ca.pem',
      ETCDCTL_CERT: 'c.pem',
      ETCDCTL_KEY: 'k.pem',
      ETCDCTL_USER: 'backup',
      ETCDCTL_PASSWORD: 'hidden',
    });
    expect(warnings).toEqual([]);
  });

  test.each([
    ['/backup/etcd', '/backup/etcd/'],
    ['/backup/etcd/', '/backup/etcd/'],
    ['backup', 'backup/'],
    ['/backup/old.tar', '/backup/old.tar/'],
    ['s3://bucket', 's3://bucket'],
    ['s3://bucket/etcd', 's3://bucket/etcd'],
    ['s3://bucket/etcd.tar', 's3://bucket/etcd.tar/'],
  ])('takes the location of a repository for one, whatever it looks like: %s', async (location, to) => {
    const { args } = await applyProfile(await configOf(PROD.replace('s3://bucket/etcd', location)), 'prod', {}, {});
    expect(args.to).toBe(to);
    expect(parseLocation(to)).toMatchObject({ ending: 'repository' });
  });

  test.each<[string, Record<string, unknown>, Record<string, string>, Record<string, unknown>, Record<string, string | undefined>]>([
    ['a flag', { to: '/other' }, {}, { to: '/other' }, {}],
    ['a flag that is off', { prune: false, 'skip-unchanged': false }, {}, { prune: false, 'skip-unchanged': false }, {}],
    ['one flag of those that go together', { 'keep-last': '3' }, {}, { 'keep-last': '3', 'keep-daily': undefined }, {}],
    ['another way to encrypt', { 'passphrase-file': 'p' }, {}, { 'passphrase-file': 'p', recipient: undefined }, {}],
    ['a user and not his password', { user: 'me' }, {}, { user: 'me' }, { ETCDCTL_USER: undefined, ETCDCTL_PASSWORD: undefined }],
    ['the environment', {}, { ETCDCTL_CACERT: 'mine' }, {}, { ETCDCTL_CACERT: 'mine', ETCDCTL_CERT: 'c.pem' }],
    ['half of a pair in the environment', {}, { ETCDCTL_CERT: 'mine' }, {}, { ETCDCTL_CERT: 'mine', ETCDCTL_KEY: undefined }],
    ['the environment of the AWS SDK', {}, { AWS_ENDPOINT_URL_S3: 'http://x' }, { 's3-endpoint': undefined }, {}],
    [
      'a flag over both',
      { from: 'http://c:2379' },
      { ETCDCTL_ENDPOINTS: 'http://d' },
      { from: 'http://c:2379' },
      { ETCDCTL_ENDPOINTS: 'http://d' },
    ],
  ])('gives way to %s', async (_, given, env, args, result) => {
    const run = await applyProfile(await configOf(PROD), 'prod', given, env);
    for (const [name, value] of Object.entries(args)) expect(run.args[name], name).toEqual(value);
    for (const [name, value] of Object.entries(result)) expect(run.env[name], name).toEqual(value);
  });

  test('whose cluster the environment replaces is warned of', async () => {
    const config = await configOf(PROD);
    for (const name of ['prod', 'bare']) {
      const run = await applyProfile(config, name, {}, { ETCDCTL_ENDPOINTS: 'http://d' });
      expect(run.warnings).toEqual([expect.stringContaining(`profile ${name}`)]);
      expect(run.args.from).toBeUndefined();
    }
  });

  test('is chosen by name, or all are', async () => {
    const config = await configOf(PROD);
    expect(await chosenProfiles(config, 'all')).toEqual(['prod', 'bare']);
    expect(await chosenProfiles(config, ['bare', 'prod', 'bare'])).toEqual(['bare', 'prod']);
    await expect(chosenProfiles(config, ['prdo'])).rejects.toMatchObject({ code: 'usage', hint: 'Did you mean prod?' });
    await expect(chosenProfiles(await configOf('clusters: {}'), 'all')).rejects.toMatchObject({
      message: expect.stringContaining('has no profiles'),
    });
  });

  test.each(['cluster: staging', 'repository: offsit', 'policy: none'])('that names what is not there is refused: %s', async (line) => {
    const config = await configOf(
      `${PROD.replace('  bare:', '  bad: { ')}`.replace('{  { from: /var/lib/etcd, to: /backup }', `{ ${line} }`),
    );
    await expect(applyProfile(config, 'bad', {}, {})).rejects.toMatchObject({
      code: 'usage',
      message: expect.stringContaining('profiles.bad.'),
    });
  });
});

describe('a configuration file', () => {
  test.each<[string, string, RegExp, RegExp]>([
    ['section', 'cluster: {}', /"cluster" is not known/, /Did you mean clusters\?/],
    ['key', 'clusters: { prod: { cacrt: x } }', /clusters\.prod: "cacrt" is not known/, /Did you mean cacert\?/],
    ['policy key', 'policies: { a: { keep-dayly: 7 } }', /policies\.a: "keep-dayly" is not known/, /Did you mean keep-daily\?/],
    ['key like none', 'policies: { a: { something-else: 7 } }', /"something-else" is not known/, /Known are keep-daily, /],
  ])('with an unknown %s is refused, naming the nearest known one', async (_, text, message, hint) => {
    await expect(configOf(text)).rejects.toMatchObject({
      code: 'usage',
      message: expect.stringMatching(message),
      hint: expect.stringMatching(hint),
    });
  });

  test.each<[string, RegExp]>([
    ['clusters: { prod: { password: [hidden] } }', /clusters\.prod\.password: a text was expected/],
    ['clusters: { prod: { api: v4hidden } }', /one of v2, v3 was expected/],
    ['profiles: { prod: { skip-unchanged: hidden } }', /true or false was expected/],
    ['profiles: { prod: { prefix: [{ a: hidden }] } }', /a list of texts was expected/],
    ['clusters: [hidden]', /clusters is not a map/],
    ['clusters: { prod: hidden }', /clusters\.prod is not a map/],
    ['- hidden', /the file is not a map/],
    ['clusters:\n  prod: { password: "hidden', /, line \d+: is not YAML/],
    ['clusters: { a: *nothing }\n# hidden', /an alias that cannot be resolved/],
    ['clusters: {}\nclusters: {}\n# hidden', /, line 2: is not YAML \(duplicate key\)/],
    [`clusters: { prod: { password: "\${MISSING_ONE}" } }`, /clusters\.prod\.password: the environment has no MISSING_ONE/],
  ])('that is wrong is refused, and no value is repeated: %s', async (text, message) => {
    const failure = (await configOf(text).catch((thrown: Error) => thrown)) as Error;
    expect(failure).toMatchObject({ code: 'usage', message: expect.stringMatching(message) });
    expect(failure.message).not.toContain('hidden');
  });

  test.each([
    ['aliases of aliases', `a: &a [x]\nb: [${'*a,'.repeat(200)}]`, /an alias that cannot be resolved/],
    ['nesting without end', `${'['.repeat(20_000)}${']'.repeat(20_000)}`, /nested too deep/],
  ])('that would take the parser down is refused: %s', async (_, text, message) => {
    await expect(configOf(text)).rejects.toMatchObject({ code: 'usage', message: expect.stringMatching(message) });
  });

  test('takes values from the environment, as texts', async () => {
    const { clusters } = await configOf(`clusters: { a: { user: "\${U}", cacert: "/x/\${U}/$\${U}/$U" } }`, { U: 'a: b\n#' });
    expect(clusters.get('a')).toEqual({ user: 'a: b\n#', cacert: `/x/a: b\n#/\${U}/$U` });
  });

  test.each([
    ['a password in it', 'clusters: { a: { password: hidden } }', 0o640, 1],
    ['a password beside the user', 'clusters: { a: { user: "me:hidden" } }', 0o604, 1],
    ['one that is the owner’s alone', 'clusters: { a: { password: hidden } }', 0o600, 0],
    ['one from the environment', `clusters: { a: { password: "\${PROD_PASSWORD}" } }`, 0o644, 0],
    ['none', 'clusters: { a: { user: me } }', 0o644, 0],
  ])('that others may read, with %s, is warned of or not', async (_, text, mode, warnings) => {
    const config = await configOf(text, { PROD_PASSWORD: 'x' }, mode);
    expect(config.warnings).toHaveLength(warnings);
    if (warnings > 0) expect(config.warnings[0]).toMatch(/holds a password and can be read by others/);
    expect(config.warnings.join()).not.toContain('hidden');
  });

  test('is found by name, then in $ETCDFERRY_CONFIG, then at home', async () => {
    expect(await findConfig('x.yaml', { ETCDFERRY_CONFIG: 'y.yaml' })).toBe('x.yaml');
    expect(await findConfig(undefined, { ETCDFERRY_CONFIG: 'y.yaml' })).toBe('y.yaml');
    const home = join(directory, 'home');
    for (const at of ['.config/etcdferry', 'xdg/etcdferry']) mkdirSync(join(home, at), { recursive: true });
    await expect(findConfig(undefined, { HOME: home })).rejects.toMatchObject({
      code: 'not-found',
      hint: expect.stringContaining('--config'),
    });
    for (const at of ['.config/etcdferry', 'xdg/etcdferry']) writeFileSync(join(home, at, 'etcdferry.yaml'), '');
    expect(await findConfig(undefined, { HOME: home })).toBe(join(home, '.config/etcdferry/etcdferry.yaml'));
    expect(await findConfig(undefined, { HOME: home, XDG_CONFIG_HOME: join(home, 'xdg') })).toBe(
      join(home, 'xdg/etcdferry/etcdferry.yaml'),
    );
  });
});
