import { copyFileSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { testdata } from '../support/bytes.js';
import { expectOneClearLine } from '../support/clear-line.js';
import { etcdferry } from '../support/cli.js';
import { EtcdServer, newestEtcd } from '../support/etcd.js';
import { temporaryDirectory } from '../support/temp.js';

/** What docs/security.md promises, tried. */
const directory = temporaryDirectory();
const at = (name: string): string => join(directory, name);
const GOOD = join(import.meta.dirname, '../../testdata/archive/v1-key.tar');
const modeOf = (path: string): string => (statSync(path).mode & 0o777).toString(8);

test('what is written is its owner’s alone, and a link under its name is not followed', async () => {
  writeFileSync(at('v3.db'), testdata('etcd-v3/v3-35.db.gz'));
  writeFileSync(at('precious'), 'precious');
  symlinkSync(at('precious'), at('link.tar'));
  expectOneClearLine(await etcdferry(['backup', '--from', at('v3.db'), '--to', at('link.tar')]), 11, /already exists/);
  for (const args of [
    ['backup', '--from', at('v3.db'), '--to', at('link.tar'), '--overwrite'],
    ['backup', '--from', at('v3.db'), '--to', at('repo/'), '--create'],
    ['restore', '--from', GOOD, '--to', at('new.db')],
    ['verify', GOOD, '--report', at('report.xml')],
  ]) {
    expect(await etcdferry(args), args.join(' ')).toMatchObject({ exit: 0 });
  }
  expect(readFileSync(at('precious'), 'utf8')).toBe('precious');
  const archive = readdirSync(at('repo')).find((name) => name.endsWith('.tar')) as string;
  for (const name of ['link.tar', 'new.db', 'report.xml', join('repo', archive)]) expect(modeOf(at(name)), name).toBe('600');
  expect(modeOf(at('repo'))).toBe('700');
});

test('links in a repository are none of its archives', async () => {
  mkdirSync(at('linked'));
  symlinkSync(GOOD, at('linked/a-20240301T030000.000Z-r1.etcd.tar'));
  symlinkSync('/etc/passwd', at('linked/b-20240301T030000.000Z-r1.etcd.tar'));
  const listed = await etcdferry(['list', at('linked'), '--json']);
  expect(JSON.parse(listed.stdout.toString())).toMatchObject({ error: { code: 'empty-repository' } });
  const said = /warning: .*linked: 2 symbolic links are passed over; only regular files are archives\n/;
  expect(listed.stderr).toMatch(said);
  symlinkSync(GOOD, at('linked/latest.tar'));
  copyFileSync(GOOD, at('linked/c-20240301T030000.000Z-r1.etcd.tar'));
  const verified = await etcdferry(['verify', at('linked')]);
  expect(verified).toMatchObject({ exit: 0, stderr: expect.stringMatching(said) });
  expect(verified.stdout.toString()).toMatch(/^.*c-20240301T030000\.000Z-r1\.etcd\.tar: whole archive.*\n$/);
  await etcdferry(['prune', at('linked'), '--keep-last', '1']);
  expect(readdirSync(at('linked')).filter((name) => name.endsWith('.tar'))).toHaveLength(4);
});

describe('a password', () => {
  test('stands in no output, report or archive', async () => {
    await using server = await EtcdServer.start(newestEtcd());
    const secret = 'hunter2-s3cret';
    await server.enableAuth(secret);
    writeFileSync(at('password'), `${secret}\n`);
    const runs = [
      await etcdferry([
        'backup',
        '--from',
        server.endpoint,
        '--to',
        at('a.tar'),
        '--user',
        'root',
        '--password-file',
        at('password'),
        '--json',
      ]),
      await etcdferry(['backup', '--from', server.endpoint, '--to', at('b.tar'), '--user', `root:${secret}`]),
      await etcdferry(['backup', '--from', server.endpoint, '--to', at('c.tar'), '--user', `wrong:${secret}`, '--log-format', 'json']),
      await etcdferry(['inspect', at('a.tar'), '--json']),
    ];
    expect(runs.map(({ exit }) => exit)).toEqual([0, 0, 10, 0]);
    for (const { stdout, stderr } of runs) expect(`${stdout.toString()}${stderr}`).not.toContain(secret);
    for (const name of ['a.tar', 'b.tar']) expect(readFileSync(at(name)).includes(secret)).toBe(false);
    expect(runs[1]?.stderr).toMatch(/process list/);
  });

  test('in a URL is refused, and not repeated', async () => {
    const run = await etcdferry(['backup', '--from', 'http://root:hunter2@127.0.0.1:2379', '--to', at('u.tar')]);
    expect(run.exit).toBe(2);
    expect(run.stderr).not.toContain('hunter2');
  });
});

test('an https endpoint that speaks plain text is no way out of TLS', async () => {
  await using server = await EtcdServer.start(newestEtcd());
  const https = server.endpoint.replace('http:', 'https:');
  for (const flags of [[], ['--insecure-skip-tls-verify']]) {
    const run = await etcdferry(['backup', '--from', https, '--to', at('plain.tar'), '--dial-timeout', '2s', ...flags]);
    expect(run.exit).toBe(10);
    expect(run.stderr.includes('WARNING: --insecure-skip-tls-verify')).toBe(flags.length > 0);
  }
  expect(await etcdferry(['backup', '--from', server.endpoint, '--to', at('x.tar'), '--insecure-skip-tls-verify'])).toMatchObject({
    exit: 2,
  });
});
