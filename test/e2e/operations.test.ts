import { execFile } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { METRICS } from '../../src/jobs/metrics.js';
import { Authority } from '../support/certificates.js';
import { cleanEnvironment, EtcdServer, newestEtcd } from '../support/etcd.js';
import { temporaryDirectory } from '../support/temp.js';
import { tool } from '../support/tools.js';

const ROOT = join(import.meta.dirname, '../..');
const DEPLOY = join(ROOT, 'docs/deploy');
const OPERATIONS = readFileSync(join(ROOT, 'docs/operations.md'), 'utf8');
/** Directories that docs/operations.md and docs/deploy name; here they lie below one of the test's own. */
const PLACES = /\/(?=backup\/etcd|etc\/etcdferry|etc\/kubernetes\/pki|var\/lib\/etcd|var\/lib\/node_exporter)/g;
const directory = temporaryDirectory();
const PKI = join(directory, 'etc/kubernetes/pki/etcd');

let server: EtcdServer;
let authority: Authority;

beforeAll(async () => {
  for (const place of ['bin', 'backup/etcd', 'etc/etcdferry', 'etc/kubernetes/pki/etcd', 'var/lib/node_exporter/textfile_collector']) {
    mkdirSync(join(directory, place), { recursive: true });
  }
  symlinkSync(join(ROOT, 'bin/etcdferry.js'), join(directory, 'bin/etcdferry'));
  authority = new Authority();
  const { certFile, keyFile } = authority.issue();
  copyFileSync(authority.caFile, join(PKI, 'ca.crt'));
  copyFileSync(certFile, join(PKI, 'healthcheck-client.crt'));
  copyFileSync(keyFile, join(PKI, 'healthcheck-client.key'));
  const tls = ['--cert-file', certFile, '--key-file', keyFile, '--client-cert-auth', '--trusted-ca-file', authority.caFile];
  server = await EtcdServer.start(newestEtcd(), { scheme: 'https', args: tls });
  for (const name of ['configmaps/default/a', 'secrets/default/b']) await etcdctl('put', `/registry/${name}`, name);
  writeFileSync(join(directory, 'etc/etcdferry/etcdferry.yaml'), here(readFileSync(join(DEPLOY, 'etcdferry.yaml'), 'utf8')));
});
afterAll(async () => {
  await server.stop();
  authority[Symbol.dispose]();
});

/** A text of the docs with this test's directories and port. */
function here(text: string): string {
  return text.replace(PLACES, `${directory}/`).replaceAll('https://127.0.0.1:2379', server.endpoint);
}

function etcdctl(...args: string[]): Promise<string> {
  const tls = [
    '--cacert',
    join(PKI, 'ca.crt'),
    '--cert',
    join(PKI, 'healthcheck-client.crt'),
    '--key',
    join(PKI, 'healthcheck-client.key'),
  ];
  return server.etcdctl(...tls, ...args);
}

/** Runs a script as the shell would: what it printed, or how it failed. */
async function shell(script: string): Promise<string> {
  const env = {
    ...cleanEnvironment(),
    ETCDFERRY_CONFIG: join(directory, 'etc/etcdferry/etcdferry.yaml'),
    PATH: `${join(directory, 'bin')}:${join(ROOT, '.cache/tools')}:${newestEtcd().dir}:${process.env.PATH}`,
  };
  const run = promisify(execFile)('bash', ['-euo', 'pipefail', '-c', here(script)], { cwd: directory, env });
  return run.then(
    ({ stdout }) => `done\n${stdout}`,
    (failed: { stderr: string; code: number }) => `exit ${failed.code}\n${failed.stderr}`,
  );
}

test('every command of docs/operations.md works, run as written, one after the other', async () => {
  const blocks = [...OPERATIONS.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map((match) => match[1] as string);
  expect(blocks.length).toBeGreaterThan(5);
  for (const block of blocks) {
    if (block.includes('--on-conflict skip')) await etcdctl('del', '/registry/configmaps/default/a');
    expect(await shell(block), block).toMatch(/^done/);
  }
  expect(await etcdctl('get', '--print-value-only', '/registry/configmaps/default/a')).toBe('configmaps/default/a');
  expect(existsSync(join(directory, 'var/lib/etcd/member/snap/db'))).toBe(true);
});

test('every line of the crontab works, and says nothing when all is well', async () => {
  const lines = readFileSync(join(DEPLOY, 'crontab'), 'utf8').split('\n');
  const commands = lines.flatMap((line) => /^(?:\S+ +){5} +root +(.*)$/.exec(line)?.[1] ?? []);
  expect(commands).toHaveLength(4);
  for (const command of commands) expect(await shell(command), command).toBe('done\n');
  const metrics = readFileSync(join(directory, 'var/lib/node_exporter/textfile_collector/etcdferry.prom'));
  expect(metrics.toString()).toContain('etcdferry_backup_keys{name="prod"} 2');
});

describe('systemd', () => {
  const unit = readFileSync(join(DEPLOY, 'etcdferry-backup.service'), 'utf8');

  test('runs the backup that the service names', async () => {
    const command = /^ExecStart=\/usr\/local\/bin\/(.*)$/m.exec(unit)?.[1] as string;
    const before = readdirSync(join(directory, 'backup/etcd')).length;
    expect(await shell(command)).toMatch(/^done/);
    expect(readdirSync(join(directory, 'backup/etcd')).length).toBe(before + 1);
  });

  test('takes both units', async () => {
    const units = join(directory, 'units');
    mkdirSync(units);
    for (const name of ['etcdferry-backup.service', 'etcdferry-backup.timer']) {
      writeFileSync(join(units, name), readFileSync(join(DEPLOY, name), 'utf8').replace('/usr/local/bin/etcdferry', '/bin/true'));
    }
    const verified = await shell(`systemd-analyze verify ${units}/etcdferry-backup.service ${units}/etcdferry-backup.timer 2>&1`).catch(
      String,
    );
    if (/exit 127/.test(verified)) return console.warn('NOT TESTED: systemd-analyze is not on this machine; the units were not verified');
    expect(verified).not.toMatch(/etcdferry-backup/);
  });
});

test('the CronJob runs the same backup', async () => {
  const text = readFileSync(join(DEPLOY, 'cronjob.yaml'), 'utf8');
  const [configMap, job] = parseAllDocuments(text).map((document) => {
    expect(document.errors).toEqual([]);
    return document.toJS() as unknown;
  }) as [
    { data: Record<string, string> },
    { spec: { jobTemplate: { spec: { template: { spec: { containers: { args: string[] }[] } } } } } },
  ];
  writeFileSync(join(directory, 'cronjob.yaml'), here(configMap.data['etcdferry.yaml'] as string));
  const [container] = job.spec.jobTemplate.spec.template.spec.containers;
  const ran = await shell(`ETCDFERRY_CONFIG=${join(directory, 'cronjob.yaml')} etcdferry ${container?.args.join(' ')} 2>&1`);
  expect(ran).toMatch(/^done\n\{.*"event":/);
});

test('what the Dockerfile copies is there', () => {
  const copied = [...readFileSync(join(DEPLOY, 'Dockerfile'), 'utf8').matchAll(/^COPY (?!--from)(.*) \S+$/gm)];
  const names = copied.flatMap(([, list]) => (list as string).split(' '));
  expect(names.length).toBeGreaterThan(6);
  expect(names.filter((name) => !existsSync(join(ROOT, name)))).toEqual([]);
});

describe('Prometheus', () => {
  test('the docs list every metric with what it means', () => {
    const listed = [...OPERATIONS.matchAll(/^\| `etcdferry_(\w+)` \| (.*) \|$/gm)].map(([, name, means]) => [name, `${means}.`]);
    expect(listed).toEqual(Object.entries(METRICS));
  });

  test('the alerting rules are rules, and go off when they should', async () => {
    const file = join(directory, 'alerts.yaml');
    copyFileSync(join(DEPLOY, 'alerts.yaml'), file);
    expect((await tool('promtool', ['check', 'rules', file])).toString()).toContain('SUCCESS: 6 rules found');
    const healthy = {
      backup_last_success_timestamp_seconds: '0+300x576',
      backup_last_run_success: '1x576',
      backup_last_run_exit_status: '0x576',
    };
    const troubles = {
      EtcdBackupTooOld: { backup_last_success_timestamp_seconds: '0x576' },
      EtcdBackupFailed: { backup_last_run_success: '0x576' },
      EtcdBackupLeftSomethingOut: { backup_last_run_exit_status: '3x576' },
      EtcdBackupNotPruned: { backup_last_run_exit_status: '14x576' },
      EtcdBackupShrunk: { backup_keys: '1000x400 400x176' },
    };
    for (const [alert, trouble] of Object.entries(troubles)) {
      expect(await quietOn(alert, file, { ...healthy, backup_keys: '1000x400 501x176' }), alert).toBe(true);
      expect(await quietOn(alert, file, { ...healthy, ...trouble }), alert).toBe(false);
    }
  });
});

/** Whether an alert stays quiet after two days of samples, one every five minutes. */
async function quietOn(alert: string, rules: string, samples: Readonly<Record<string, string>>): Promise<boolean> {
  const series = Object.entries(samples).map(([metric, values]) => ({ series: `etcdferry_${metric}{name="prod"}`, values }));
  const expected = [{ eval_time: '2d', alertname: alert, exp_alerts: [] }];
  const file = join(directory, 'alerts.test.yaml');
  writeFileSync(
    file,
    JSON.stringify({
      rule_files: [rules],
      evaluation_interval: '5m',
      tests: [{ interval: '5m', input_series: series, alert_rule_test: expected }],
    }),
  );
  return tool('promtool', ['test', 'rules', file]).then(
    () => true,
    (failed: Error) => {
      // Anything but an alert that went off is a mistake in the rules or here.
      expect(failed.message).toContain(`alertname: ${alert}`);
      return false;
    },
  );
}
