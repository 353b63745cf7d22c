import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Authority } from '../support/certificates.js';
import { etcdferry } from '../support/cli.js';
import { EtcdServer, newestEtcd } from '../support/etcd.js';
import { healthcheckService } from '../support/healthcheck.js';
import { S3Server, s3Environment } from '../support/s3-server.js';
import { temporaryDirectory } from '../support/temp.js';
import { type AgeKey, ageKey } from '../support/tools.js';
import { etcdferryWatched } from '../support/watched-process.js';

const TESTDATA = join(import.meta.dirname, '../../testdata');
/** Files that secrets are given in. */
const given = temporaryDirectory();
/** Everything that is written. */
const written = temporaryDirectory();
const at = (name: string): string => join(written, name);
const secret = (name: string): string => join(given, name);

const PASSWORD = 'MARK-password-7f3a';
const WRONG = 'MARK-wrong-password-91c2';
const PASSPHRASE = 'MARK-passphrase-55d0';
const AWS = 'MARK-aws-secret-aa41';
const HEALTH = 'MARK-healthcheck-0b9e';
/** A key of testdata's EncryptionConfiguration. */
const AES = 'rKvwPtTTl9QIj4sjlf5GxyARpqTZ+QGImKZyQT0tx48=';

const BY_ENVIRONMENT = { ETCDCTL_USER: 'root', ETCDCTL_PASSWORD: PASSWORD };
const BY_FILE = ['--user', 'root', '--password-file', secret('password')];
const S3 = { ...s3Environment(), AWS_SECRET_ACCESS_KEY: AWS };

let server: EtcdServer;
let s3: S3Server;
let hc: Awaited<ReturnType<typeof healthcheckService>>;
let key: AgeKey;
let tlsKey: string;
const authority = new Authority();

beforeAll(async () => {
  key = await ageKey(secret('identity'));
  const { certFile, keyFile } = authority.issue({ commonName: 'root' });
  copyFileSync(certFile, secret('client.crt'));
  copyFileSync(keyFile, secret('client.key'));
  tlsKey = readFileSync(keyFile, 'utf8').split('\n')[1] as string;
  writeFileSync(secret('password'), `${PASSWORD}\n`);
  writeFileSync(secret('wrong'), `${WRONG}\n`);
  writeFileSync(secret('passphrase'), `${PASSPHRASE}\n`);
  copyFileSync(join(TESTDATA, 'kubernetes-1.20/encryption-config.yaml'), secret('encryption.yaml'));
  for (const repository of ['repo', 'repo2', 'repo3']) mkdirSync(at(repository));
  writeFileSync(at('encrypted.db'), gunzipSync(readFileSync(join(TESTDATA, 'kubernetes-1.20/encrypted.db.gz'))));
  for (const name of ['v1-key', 'v1-tree']) copyFileSync(join(TESTDATA, `archive/${name}.tar`), at(`${name}.tar`));
  server = await EtcdServer.start(newestEtcd());
  await server.etcdctl('put', '/registry/a', 'b');
  await server.enableAuth(PASSWORD);
  s3 = await S3Server.start();
  hc = await healthcheckService();
});
afterAll(async () => {
  authority[Symbol.dispose]();
  await Promise.all([server?.stop(), s3?.[Symbol.asyncDispose](), hc?.[Symbol.asyncDispose]()]);
});

interface Run {
  readonly args: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  readonly stdin?: Uint8Array;
  readonly exit?: number;
}

function configuration(): string {
  const path = secret('etcdferry.yaml');
  writeFileSync(
    path,
    `clusters:
  written: { endpoints: "${server.endpoint}", user: root, password: "${PASSWORD}" }
  environment: { endpoints: "${server.endpoint}", user: root, password: "\${BACKUP_PASSWORD}" }
  wrong: { endpoints: "${server.endpoint}", user: "root:${WRONG}" }
repositories:
  here: { location: "${at('repo')}", recipient: ${key.recipient} }
  phrase: { location: "${at('repo3')}", passphrase-file: "${secret('passphrase')}" }
profiles:
  written: { cluster: written, repository: here, metrics: "${at('m.prom')}", healthcheck: "\${HEALTHCHECK}" }
  environment: { cluster: environment, repository: phrase, metrics: "${at('m.prom')}", healthcheck: "\${HEALTHCHECK}" }
  wrong: { cluster: wrong, repository: here, metrics: "${at('m.prom')}", healthcheck: "\${HEALTHCHECK}" }
`,
    { mode: 0o644 },
  );
  return path;
}

/** Every command, with every way to give it a secret that it has; a file that one writes is read by a later one. */
function runs(): readonly Run[] {
  const { endpoint } = server;
  const open = ['--identity', key.file];
  const profiles = { HEALTHCHECK: hc.url(`/${HEALTH}`).href, BACKUP_PASSWORD: PASSWORD };
  const bucket = ['s3://bucket/etcd', '--s3-endpoint', s3.endpoint];
  const tls = ['--cacert', authority.caFile, '--cert', secret('client.crt'), '--key', secret('client.key')];
  return [
    { args: ['backup', '--from', endpoint, '--to', at('a.tar.age'), '--recipient', key.recipient, ...BY_FILE, '--json'] },
    { args: ['backup', '--from', endpoint, '--to', at('repo'), '--recipient', key.recipient], env: BY_ENVIRONMENT },
    { args: ['backup', '--from', endpoint, '--to', ...bucket, '--log-format', 'json'], env: { ...BY_ENVIRONMENT, ...S3 } },
    { args: ['backup', '--from', endpoint, '--to', at('x.tar'), '--user', 'root', '--password-file', secret('wrong')], exit: 10 },
    { args: ['backup', '--from', endpoint, '--to', at('x.tar'), '--json'], env: { ...BY_ENVIRONMENT, ETCDCTL_PASSWORD: WRONG }, exit: 10 },
    { args: ['backup', '--from', 'https://127.0.0.1:1', '--to', at('x.tar'), '--dial-timeout', '1s', ...tls], exit: 10 },
    { args: ['backup', '--from', endpoint, '--to', ...bucket], env: { ...BY_ENVIRONMENT, ...S3, AWS_ACCESS_KEY_ID: 'other' }, exit: 10 },
    { args: ['backup', '--all-profiles', '--config', configuration(), '--parallel', '1'], env: profiles, exit: 10 },
    { args: ['backup', '--profile', 'wrong', '--config', configuration(), '--log-format', 'json'], env: profiles, exit: 10 },
    { args: ['restore', '--from', at('a.tar.age'), '--to', endpoint, ...open, ...BY_FILE] },
    { args: ['restore', '--from', at('repo'), '--name', 'etcd', '--to', endpoint, ...open, '--dry-run', '--json'], env: BY_ENVIRONMENT },
    { args: ['restore', '--from', at('a.tar.age'), '--to', at('y.db'), '--identity', secret('passphrase')], exit: 2 },
    {
      args: ['restore', '--from', at('encrypted.db'), '--to', at('z.db'), '--reencrypt', '--encryption-config', secret('encryption.yaml')],
    },
    { args: ['migrate', '--from', at('v1-tree.tar'), '--to', endpoint, '--dry-run', ...BY_FILE], exit: 3 },
    { args: ['verify', at('a.tar.age'), at('repo'), ...open] },
    { args: ['verify', at('repo3'), '--passphrase-file', secret('passphrase'), '--json'] },
    { args: ['verify', at('a.tar.age'), '--identity', secret('password')], exit: 2 },
    { args: ['inspect', at('a.tar.age'), ...open] },
    { args: ['inspect', endpoint], env: BY_ENVIRONMENT },
    { args: ['ls', at('a.tar.age'), '--json', ...open] },
    { args: ['get', at('encrypted.db'), '/registry/secrets/default/token', '--encryption-config', secret('encryption.yaml')], exit: 2 },
    { args: ['get', endpoint, '/registry/a', ...BY_FILE] },
    { args: ['diff', at('a.tar.age'), endpoint, ...open, ...BY_FILE] },
    { args: ['hashkv', at('encrypted.db')], env: BY_ENVIRONMENT },
    {
      args: ['decode', '--encryption-config', secret('encryption.yaml'), '--key', '/registry/secrets/a/b'],
      stdin: Buffer.from('k8s:enc:aescbc:v1:key1:xx'),
      exit: 3,
    },
    { args: ['encode'], stdin: Buffer.from('{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"}}'), env: BY_ENVIRONMENT },
    { args: ['list', at('repo'), ...open, '--json'] },
    { args: ['copy', at('repo'), ...bucket], env: S3 },
    { args: ['copy', bucket[0] as string, at('repo2'), ...bucket.slice(1)], env: S3 },
    { args: ['prune', at('repo'), '--keep-last', '1', '--dry-run'] },
    { args: ['check-age', ...bucket, '--max-age', '1h'], env: S3 },
    { args: ['completion', 'bash'], env: BY_ENVIRONMENT },
  ];
}

/** Every file below, as text; archives' segments are data. */
function filesBelow(path: string): string[] {
  const entries = readdirSync(path, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return entries.map((entry) => `${entry.name}\n${readFileSync(join(entry.parentPath, entry.name), 'latin1')}`);
}

describe('secrets given by file and by environment', () => {
  test('are in no log, error, metric, summary, report or process list, whatever is run', async () => {
    const marks = [PASSWORD, WRONG, PASSPHRASE, AWS, HEALTH, AES, key.identity, tlsKey];
    const encoded = marks.map((mark) => Buffer.from(mark).toString('base64').replace(/=+$/, ''));
    const show = (text: string, where: string): void => {
      for (const mark of [...marks, ...encoded]) expect(text.includes(mark), `${mark} ${where}\n${text.slice(0, 2_000)}`).toBe(false);
    };
    const all = runs();
    for (const { args, env = {}, stdin, exit = 0 } of all) {
      const line = args.join(' ');
      const { exit: found, ...shown } = await etcdferryWatched(args, env, stdin);
      expect(found, `${line}\n${shown.stderr}`).toBe(exit);
      expect(shown.processList, line).toContain(`etcdferry.js ${args[0]}`);
      for (const [where, text] of Object.entries(shown)) show(text, `in ${where} of ${line}`);
    }
    const help = (await etcdferry(['--help'])).stdout.toString();
    const commands = [...help.matchAll(/^ {2}etcdferry (\S+)/gm)].map(([, name]) => name);
    expect([...new Set(all.map(({ args }) => args[0]))].sort()).toEqual(commands.sort());
    for (const file of [...filesBelow(written), ...filesBelow(s3.directory)]) show(file, 'in a file');
    // The service is told at its secret path; what it is told and shows holds none.
    expect(hc.asked.length).toBeGreaterThan(4);
    for (const { body } of hc.asked) show(body, 'in a healthcheck');
    expect(readFileSync(at('m.prom'), 'utf8')).toContain('etcdferry_backup_last_run_exit_status{name="wrong"} 10');
  }, 240_000);
});
