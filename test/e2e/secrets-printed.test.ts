import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import yargs, { type Argv } from 'yargs';
import { backupCommand } from '../../src/cli/backup.js';
import { backupSettings } from '../../src/cli/backup-options.js';
import { checkAgeCommand } from '../../src/cli/check-age.js';
import { copyCommand } from '../../src/cli/copy.js';
import { decodeCommand } from '../../src/cli/decode.js';
import { diffCommand } from '../../src/cli/diff.js';
import { encodeCommand } from '../../src/cli/encode.js';
import { getCommand } from '../../src/cli/get.js';
import { hashkvCommand } from '../../src/cli/hashkv.js';
import { inspectCommand } from '../../src/cli/inspect.js';
import { listCommand } from '../../src/cli/list.js';
import { lsCommand } from '../../src/cli/ls.js';
import { migrateCommand } from '../../src/cli/migrate.js';
import { pruneCommand } from '../../src/cli/prune.js';
import { restoreCommand } from '../../src/cli/restore.js';
import { verifyCommand } from '../../src/cli/verify.js';
import { etcdferry, etcdferryInside } from '../support/cli.js';
import { temporaryDirectory } from '../support/temp.js';

const directory = temporaryDirectory();

/** A password, where nothing tells that it is one. */
const WORD = 'hunter2-Hunter2';
/** Commands that take any number of locations. */
const MANY = ['verify', 'decode'];

/** Each with what nothing printed may hold. */
const SECRETS = [
  ['AGE-SECRET-KEY-1QQQSYQCYQ5RQWZQFPG9SCRGWPUGPZYSNZS23V9CCRYDPK8QARC0SXWYEJ8', /QQQSYQCYQ5RQ/i],
  ['-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49\n-----END PRIVATE KEY-----', /MIGHAgEAMBMG/],
  ['http://admin:hunter2-Hunter2@127.0.0.1:1/0b5c3f0e-6c1d?sig=Zm9vYmFy', /hunter2|0b5c3f0e|Zm9vYmFy/i],
  [WORD, /hunter2/i],
] as const;

const COMMANDS: readonly (readonly [{ readonly spec: string; readonly build: (parser: Argv) => unknown }, readonly string[]])[] = [
  [backupCommand, ['--from', 'FILE', '--to', 'NEW.tar']],
  [restoreCommand, ['--from', 'FILE', '--to', 'NEW.db']],
  [migrateCommand, ['--from', 'FILE', '--to', 'NEW.db']],
  [verifyCommand, ['FILE']],
  [inspectCommand, ['FILE']],
  [lsCommand, ['FILE']],
  [getCommand, ['FILE', '/key']],
  [diffCommand, ['FILE', 'FILE']],
  [hashkvCommand, ['FILE']],
  [decodeCommand, ['FILE']],
  [encodeCommand, ['FILE']],
  [listCommand, ['REPOSITORY']],
  [copyCommand, ['REPOSITORY', 'NEW']],
  [pruneCommand, ['REPOSITORY', '--keep-last', '1']],
  [checkAgeCommand, ['REPOSITORY', '--max-age', '1d']],
];

/** Flags that name a file to be made: it would be made. And those that say nothing of their own. */
const NOT_TRIED = ['to', 'report', 'save-plan', 'state', 'metrics', 'help', 'version', 'log-format'];

/** Every flag of a command that takes a value. */
function flagsOf(build: (parser: Argv) => unknown): string[] {
  const parser = yargs([]);
  build(parser);
  const { key, boolean } = (parser as Argv & { getOptions(): { key: Record<string, unknown>; boolean: string[] } }).getOptions();
  return Object.keys(key).filter((name) => name.length > 1 && !boolean.includes(name) && !NOT_TRIED.includes(name));
}

writeFileSync(join(directory, 'file'), 'nothing that anybody knows');
const path = (word: string): string =>
  word
    .replace(/^FILE$/, join(directory, 'file'))
    .replace(/^REPOSITORY$/, join(directory, 'none'))
    .replace(/^NEW/, join(directory, 'new'));

const tried = new Set<string>();
/** Flags are the same wherever they are: each is tried with the first command that has it. */
const newFlags = (build: (parser: Argv) => unknown): string[] => {
  const flags = flagsOf(build).filter((flag) => !tried.has(flag));
  for (const flag of flags) tried.add(flag);
  return flags;
};

/** Every place of a command line that a secret may be given in by mistake. */
function placesIn(build: (parser: Argv) => unknown, words: readonly string[]): [string, (secret: string) => string[]][] {
  const others = (flag: string) => words.filter((word, i) => word !== flag && words[i - 1] !== flag);
  const isValue = (i: number): boolean => words[i]?.startsWith('--') === true || words[i - 1]?.startsWith('--') === true;
  const positionals = [...words.keys()].filter((i) => !isValue(i));
  return [
    ...newFlags(build).map((flag): [string, (secret: string) => string[]] => [
      `--${flag}`,
      (secret) => [...others(`--${flag}`), `--${flag}`, secret],
    ]),
    ...positionals.map((i): [string, (secret: string) => string[]] => [`word ${i + 1}`, (secret) => words.with(i, secret)]),
    ['a word more', (secret) => [...words, secret]],
    ['a switch', (secret) => [...words, `--quiet=${secret}`]],
    ['a flag that is not known', (secret) => [...words, `--passwort=${secret}`]],
    ['a flag that is not known, and a word', (secret) => [...words, '--passwort', secret, secret]],
  ];
}

const FORMATS = [[], ['--json'], ['--log-format', 'json']] as const;

/** One of those that are told by their form, so that each of them comes in many places, and the word that nothing tells. */
function secretsFor(command: string, place: string): readonly (typeof SECRETS)[number][] {
  const one = SECRETS[((command + place).length % 3) as 0 | 1 | 2];
  // A word that names nothing is a file that is missing, and has to be named.
  const isPath = place === '--from' || place.startsWith('word') || (place === 'a word more' && MANY.includes(command));
  return [one, ...(isPath ? [] : [SECRETS[3]])];
}

describe.each(COMMANDS.map(([command, args]) => [command.spec.split(' ')[0] as string, command, args] as const))(
  '%s',
  (name, { build }, args) => {
    test.each(placesIn(build, args.map(path)))('repeats no secret that was given as %s', async (place, argsWith) => {
      for (const [i, [secret, pattern]] of secretsFor(name, place).entries()) {
        const format = FORMATS[(i + place.length) % FORMATS.length] as readonly string[];
        const { stdout, stderr, exit } = await etcdferryInside([name, ...argsWith(secret), ...format], undefined, { HOME: directory });
        expect(`${stdout}\n${stderr}`).not.toMatch(pattern);
        expect(exit).not.toBe(0);
      }
    });
  },
);

const [KEY, PEM, URL_WITH_SECRETS] = SECRETS;
const printed = async (args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<string> => {
  const { stdout, stderr, exit } = await etcdferryInside(args, undefined, { HOME: directory, ...env });
  expect(exit).not.toBe(0);
  return `${stdout}\n${stderr}`;
};

test.each([
  ['ETCDCTL_ENDPOINTS', {}],
  ['ETCDCTL_CACERT', { ETCDCTL_ENDPOINTS: 'https://127.0.0.1:1' }],
  ['ETCDCTL_CERT', { ETCDCTL_ENDPOINTS: 'https://127.0.0.1:1', ETCDCTL_KEY: 'k' }],
  ['ETCDCTL_KEY', { ETCDCTL_ENDPOINTS: 'https://127.0.0.1:1', ETCDCTL_CERT: 'c' }],
  ['ETCDCTL_USER', { ETCDCTL_ENDPOINTS: 'http://127.0.0.1:1' }],
  ['AWS_ENDPOINT_URL_S3', { ETCDCTL_ENDPOINTS: 'http://127.0.0.1:1' }],
  ['ETCDFERRY_CONFIG', {}],
])('repeats no secret of the environment: $%s', async (name, env) => {
  const args = name === 'ETCDFERRY_CONFIG' ? ['--profile', 'p'] : ['--to', join(directory, 'new.tar'), '--dial-timeout', '300ms'];
  for (const [secret, pattern] of [KEY, PEM, URL_WITH_SECRETS])
    for (const format of FORMATS) expect(await printed(['backup', ...args, ...format], { ...env, [name]: secret })).not.toMatch(pattern);
});

test('repeats no secret of a proxy that the environment names', async () => {
  for (const proxy of [URL_WITH_SECRETS[0], 'socks5://admin:hunter2@127.0.0.1:1', 'http://ad min:hunter2@@:x']) {
    const env = { http_proxy: proxy, https_proxy: proxy, NODE_USE_ENV_PROXY: '1' };
    const args = ['backup', '--from', 'http://etcd.invalid:2379', '--to', join(directory, 'new.tar'), '--dial-timeout', '300ms'];
    const { stderr, exit } = await etcdferry(args, { env });
    expect(exit).toBe(10);
    expect(stderr).not.toMatch(/hunter2/);
  }
});

const SETTINGS = Object.entries(backupSettings()).flatMap(([section, keys]) =>
  Object.keys(keys)
    .filter((key) => key !== 'metrics')
    .map((key) => [section, key] as const),
);

test('repeats no secret of a configuration file, whichever setting it was given to, or as a name', async () => {
  const config = join(directory, 'etcdferry.yaml');
  const document: Record<string, Record<string, Record<string, string>>> = {
    clusters: { c: { endpoints: 'http://127.0.0.1:1', 'dial-timeout': '100ms' } },
    repositories: { r: { location: join(directory, 'none') } },
    policies: { k: { 'keep-daily': '7' } },
    profiles: { p: { cluster: 'c', repository: 'r', policy: 'k' } },
  };
  const entry = { clusters: 'c', repositories: 'r', policies: 'k', profiles: 'p' };
  for (const [i, [section, key]] of [...SETTINGS, ['profiles', KEY[0]] as const].entries()) {
    const [secret, pattern] = SECRETS[(i % 3) as 0 | 1 | 2];
    const name = entry[section as keyof typeof entry];
    const changed = { ...document, [section]: { [name]: { ...document[section]?.[name], [key]: secret } } };
    // JSON is YAML.
    writeFileSync(config, JSON.stringify(changed), { mode: 0o600 });
    const shown = await printed(['backup', '--profile', 'p', '--config', config, ...(FORMATS[i % 3] as readonly string[])]);
    expect(shown, `${section}.${key}`).not.toMatch(pattern);
    expect(shown, `${section}.${key}`).not.toMatch(KEY[1]);
  }
});
