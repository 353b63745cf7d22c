import { existsSync, readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { testdata } from '../support/bytes.js';
import { type CliResult, etcdferry, etcdferryInside, jsonOf } from '../support/cli.js';
import { S3Server, s3Environment } from '../support/s3-server.js';
import { temporaryDirectory } from '../support/temp.js';
import { type AgeKey, ageKey, ageWithPassphrase, tool } from '../support/tools.js';

const directory = temporaryDirectory();
const at = (name: string): string => join(directory, name);
const PLAIN = at('plain.tar');
const SEALED = at('sealed.tar.age');

let key: AgeKey;
let other: AgeKey;

beforeAll(async () => {
  key = await ageKey(at('key'));
  other = await ageKey(at('other'));
  writeFileSync(at('recipients'), `# who may read\n${other.recipient}\n\n${key.recipient}\n`);
  writeFileSync(at('passphrase'), 'a passphrase of several words\n');
  writeFileSync(at('etcd.db'), testdata('etcd-v3/v3-35.db.gz'));
  await done('backup', '--from', at('etcd.db'), '--to', PLAIN);
  await done('backup', '--from', at('etcd.db'), '--to', SEALED, '--recipient', key.recipient);
});

async function done(...args: string[]): Promise<CliResult> {
  const result = await etcdferryInside(args);
  expect(result, `${args.join(' ')}\n${result.stderr}`).toMatchObject({ exit: 0 });
  return result;
}

async function failsWith(exit: number, says: RegExp, ...args: string[]): Promise<void> {
  const result = await etcdferryInside(args);
  expect(result, `${args.join(' ')}\n${result.stderr}`).toMatchObject({ exit });
  expect(`${result.stdout}${result.stderr}`).toMatch(says);
}

describe('an archive encrypted here', () => {
  test('opens with age -d and is a plain archive then', async () => {
    const opened = await tool('age', ['-d', '-i', key.file, SEALED]);
    writeFileSync(at('opened.tar'), opened);
    const verified = jsonOf(await done('verify', at('opened.tar'), '--json', '--quiet').then(firstLine)) as object;
    const plain = jsonOf(await done('verify', PLAIN, '--json', '--quiet').then(firstLine)) as object;
    const same = { location: '', sha256: '', seconds: 0 };
    expect({ ...verified, ...same }).toEqual({ ...plain, ...same });
  });

  test('reads like a plain one, in every command', async () => {
    const identity = ['--identity', key.file];
    await done('verify', SEALED, ...identity);
    for (const command of [['inspect'], ['ls'], ['ls', '--json']]) {
      const [name, ...flags] = command as [string, ...string[]];
      const sealed = await done(name, SEALED, ...flags, ...identity);
      expect(sealed.stdout.toString().replaceAll(SEALED, PLAIN)).toBe((await done(name, PLAIN, ...flags)).stdout.toString());
    }
    const listed = (await done('ls', PLAIN)).stdout
      .toString()
      .split('\n')
      .find((line) => /^[\w/-]+$/.test(line)) as string;
    expect((await done('get', SEALED, listed, ...identity)).stdout).toEqual((await done('get', PLAIN, listed)).stdout);
    await done('restore', '--from', SEALED, '--to', at('restored.db'), ...identity);
    await done('backup', '--from', SEALED, '--to', at('again.tar'), ...identity);
    await done('verify', at('again.tar'));
    expect(readdirSync(directory).filter((name) => name.endsWith('.tmp'))).toEqual([]);
  });

  test('is for all recipients of a file, and of flags', async () => {
    await done('backup', '--from', PLAIN, '--to', at('both.tar.age'), '--recipients-file', at('recipients'));
    for (const each of [key, other]) await done('verify', at('both.tar.age'), '--identity', each.file);
    await done('verify', at('both.tar.age'), '--identity', other.file, '--identity', key.file);
  });

  test('goes to stdout and comes from stdin', async () => {
    const out = await done('backup', '--from', at('etcd.db'), '--to', '-', '--recipient', key.recipient, '--quiet');
    expect(out.stdout.subarray(0, 21).toString()).toBe('age-encryption.org/v1');
    const verified = await etcdferryInside(['verify', '-', '--identity', key.file], out.stdout);
    expect(verified, verified.stderr).toMatchObject({ exit: 0 });
  });

  test('opens in age with its passphrase', async () => {
    const path = at('phrase.tar.age');
    await done('backup', '--from', PLAIN, '--to', path, '--passphrase-file', at('passphrase'));
    await ageWithPassphrase(['-d', '-o', at('by-age.tar'), path], 'a passphrase of several words', 1);
    await done('verify', at('by-age.tar'));
  });
});

describe('an archive encrypted with age -e', () => {
  test('reads here', async () => {
    writeFileSync(at('theirs.tar.age'), await tool('age', ['-e', '-r', key.recipient, PLAIN]));
    await done('verify', at('theirs.tar.age'), '--identity', key.file);
    // What it is, is told by its content, not by its name.
    writeFileSync(at('theirs.tar'), readFileSync(at('theirs.tar.age')));
    await done('restore', '--from', at('theirs.tar'), '--to', at('theirs.db'), '--identity', key.file);
  });

  test('reads here with its passphrase', async () => {
    await ageWithPassphrase(['-e', '-p', '-o', at('theirs-phrase.tar.age'), PLAIN], 'a passphrase of several words', 2);
    await done('backup', '--from', at('theirs-phrase.tar.age'), '--to', at('phrase.tar'), '--from-passphrase-file', at('passphrase'));
  });
});

describe('a failure is clear', () => {
  test('without an identity, or with the wrong one: 2', async () => {
    await failsWith(2, /no identity was given[\s\S]*--identity FILE/, 'inspect', SEALED);
    await failsWith(2, /none of the given identities opens it/, 'inspect', SEALED, '--identity', other.file);
    await failsWith(2, /no identity was given/, 'verify', SEALED);
    const json = await etcdferryInside(['inspect', SEALED, '--json']);
    expect(jsonOf(json)).toMatchObject({ error: { code: 'no-identity', exit: 2 } });
  });

  test('damaged and cut short: 12', async () => {
    const bytes = readFileSync(SEALED);
    for (const size of [bytes.length - 1, bytes.length >> 1, 300, 30]) {
      writeFileSync(at('cut.tar.age'), bytes);
      truncateSync(at('cut.tar.age'), size);
      await failsWith(12, /cut short|damaged|does not end|ends before/, 'verify', at('cut.tar.age'), '--identity', key.file);
      await failsWith(
        12,
        /cut short|damaged|does not end|ends before/,
        'restore',
        '--from',
        at('cut.tar.age'),
        '--to',
        at('cut.db'),
        '--identity',
        key.file,
      );
    }
    bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] as number) ^ 1;
    writeFileSync(at('flipped.tar.age'), bytes);
    await failsWith(12, /encrypted bytes \d+ to \d+ are damaged/, 'verify', at('flipped.tar.age'), '--identity', key.file);
    expect(existsSync(at('cut.db'))).toBe(false);
  });

  test('what is in it is no archive: said of what is in it', async () => {
    writeFileSync(at('db.age'), await tool('age', ['-e', '-r', key.recipient, at('etcd.db')]));
    await failsWith(2, /is a snapshot file; an archive was expected/, 'inspect', at('db.age'), '--identity', key.file);
  });

  test('flags that do not fit: 2, and nothing is made', async () => {
    const from = ['backup', '--from', PLAIN];
    await failsWith(2, /needs someone who can open it/, ...from, '--to', at('no.tar.age'));
    await failsWith(2, /must not look as if/, ...from, '--to', at('no.tar'), '--recipient', key.recipient);
    await failsWith(2, /"age1x" is not an age recipient/, ...from, '--to', at('no.tar.age'), '--recipient', 'age1x');
    await failsWith(
      2,
      /both recipients and a passphrase/,
      ...from,
      '--to',
      at('no.tar.age'),
      '--recipient',
      key.recipient,
      '--passphrase-file',
      at('passphrase'),
    );
    await failsWith(2, /entry 1 is not an age recipient/, ...from, '--to', at('no.tar.age'), '--recipients-file', key.file);
    await failsWith(2, /entry 1 is not an age identity/, 'verify', SEALED, '--identity', at('recipients'));
    await failsWith(2, /no such file/, 'verify', SEALED, '--identity', at('missing'));
    expect(readdirSync(directory).filter((name) => name.includes('no.tar'))).toEqual([]);
  });
});

function firstLine(result: CliResult): CliResult {
  return { ...result, stdout: Buffer.from(result.stdout.toString().split('\n')[0] as string) };
}

test('an archive in a bucket is opened where it lies, in parts', async () => {
  await using s3 = await S3Server.start();
  const bucket = ['--s3-endpoint', s3.endpoint];
  const run = (...args: string[]): Promise<CliResult> => etcdferry(args, { env: s3Environment() });
  for (const target of ['s3://bucket/etcd', 's3://bucket/one.tar.age']) {
    const made = await run('backup', '--from', at('etcd.db'), '--to', target, ...bucket, '--recipient', key.recipient);
    expect(made, made.stderr).toMatchObject({ exit: 0 });
    const verified = await run('verify', target, ...bucket, '--identity', key.file);
    expect(verified, verified.stderr).toMatchObject({ exit: 0 });
  }
  const restored = await run('restore', '--from', 's3://bucket/etcd', '--to', at('from-bucket.db'), ...bucket, '--identity', key.file);
  expect(restored, restored.stderr).toMatchObject({ exit: 0 });
  expect(await run('inspect', 's3://bucket/etcd', ...bucket, '--identity', other.file)).toMatchObject({ exit: 2 });
}, 180_000);
