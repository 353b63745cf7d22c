import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type BackupMetrics, METRICS, writeMetrics } from '../../src/jobs/metrics.js';
import { temporaryDirectory } from '../support/temp.js';
import { tool } from '../support/tools.js';

const directory = temporaryDirectory();
const at = (name: string): string => join(directory, name);
const T = Date.parse('2024-03-10T03:00Z');

const success = (more: Partial<BackupMetrics> = {}): BackupMetrics => ({
  name: 'prod',
  exit: 0,
  startedAt: T,
  endedAt: T + 2_500,
  backup: { keys: 12, rawBytes: 3_400, archiveBytes: 560, revision: 4_711n, unchanged: false },
  repository: { archives: 7, newestAt: T + 500 },
  ...more,
});

const failure = (more: Partial<BackupMetrics> = {}): BackupMetrics => ({
  name: 'prod',
  exit: 10,
  startedAt: T + 60_000,
  endedAt: T + 61_000,
  ...more,
});

/** The samples of a file, by metric and name. */
function samples(path: string): Record<string, number> {
  const lines = readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'));
  return Object.fromEntries(lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ') + 1))]));
}

describe('metrics', () => {
  test('of a success are what promtool takes, readable for a collector', async () => {
    await writeMetrics(at('a.prom'), [success()]);
    expect(samples(at('a.prom'))).toEqual({
      'etcdferry_backup_last_success_timestamp_seconds{name="prod"}': (T + 2_500) / 1000,
      'etcdferry_backup_last_run_timestamp_seconds{name="prod"}': (T + 2_500) / 1000,
      'etcdferry_backup_last_run_duration_seconds{name="prod"}': 2.5,
      'etcdferry_backup_last_run_exit_status{name="prod"}': 0,
      'etcdferry_backup_last_run_success{name="prod"}': 1,
      'etcdferry_backup_last_success_unchanged{name="prod"}': 0,
      'etcdferry_backup_keys{name="prod"}': 12,
      'etcdferry_backup_raw_bytes{name="prod"}': 3_400,
      'etcdferry_backup_archive_bytes{name="prod"}': 560,
      'etcdferry_backup_revision{name="prod"}': 4_711,
      'etcdferry_repository_archives{name="prod"}': 7,
      'etcdferry_repository_newest_archive_timestamp_seconds{name="prod"}': (T + 500) / 1000,
      'etcdferry_repository_newest_archive_age_seconds{name="prod"}': 2,
    });
    expect(Object.keys(samples(at('a.prom')))).toHaveLength(Object.keys(METRICS).length);
    expect(statSync(at('a.prom')).mode & 0o444).toBe(0o444);
    await tool('promtool', ['check', 'metrics'], readFileSync(at('a.prom')));
  });

  test('of a failure keep what was known before, the last success above all', async () => {
    await writeMetrics(at('b.prom'), [success()]);
    const before = samples(at('b.prom'));
    await writeMetrics(at('b.prom'), [failure()]);
    expect(samples(at('b.prom'))).toEqual({
      ...before,
      'etcdferry_backup_last_run_timestamp_seconds{name="prod"}': (T + 61_000) / 1000,
      'etcdferry_backup_last_run_duration_seconds{name="prod"}': 1,
      'etcdferry_backup_last_run_exit_status{name="prod"}': 10,
      'etcdferry_backup_last_run_success{name="prod"}': 0,
    });
    await writeMetrics(at('first.prom'), [failure()]);
    expect(Object.keys(samples(at('first.prom')))).toHaveLength(4);
    await tool('promtool', ['check', 'metrics'], readFileSync(at('first.prom')));
  });

  test('of other NAMEs stay; what is no sample of ours does not', async () => {
    writeFileSync(
      at('c.prom'),
      'node_load1 3\netcdferry_backup_keys{name="old"} 5\netcdferry_unknown{name="old"} 5\netcdferry_backup_keys{name="x"} NaN\n',
    );
    await writeMetrics(at('c.prom'), [success({ name: 'a' }), failure({ name: 'b' })]);
    const names = new Set(Object.keys(samples(at('c.prom'))).map((key) => /name="(.*)"/.exec(key)?.[1]));
    expect([...names].sort()).toEqual(['a', 'b', 'old']);
    await tool('promtool', ['check', 'metrics'], readFileSync(at('c.prom')));
  });

  test('that cannot be written leave nothing behind', async () => {
    await expect(writeMetrics(at('missing/x.prom'), [success()])).rejects.toMatchObject({ code: 'not-found' });
    mkdirSync(at('taken.prom'));
    await expect(writeMetrics(at('taken.prom'), [success()])).rejects.toMatchObject({ message: expect.stringContaining('taken.prom') });
    expect(readdirSync(directory).filter((name) => name.endsWith('.tmp'))).toEqual([]);
  });
});
