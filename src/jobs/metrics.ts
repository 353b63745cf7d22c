import { chmod, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { FerryError } from '../errors.js';
import { clearLeftovers, temporaryName, temporaryPrefix } from '../sort/temporary.js';

/** What a backup leaves for Prometheus; times in milliseconds since the Unix epoch. */
export interface BackupMetrics {
  /** NAME of the archives, the label of every sample. */
  readonly name: string;
  /** The exit status of all that was to be done, the pruning too. */
  readonly exit: number;
  readonly startedAt: number;
  readonly endedAt: number;
  /** Of the backup that was made; nothing when it failed, and the last ones stay. */
  readonly backup?: {
    readonly keys: number;
    /** Of all records, in bytes. */
    readonly rawBytes: number;
    /** Of the stored file, in bytes. */
    readonly archiveBytes: number;
    readonly revision: bigint;
    /** True when nothing was written, since nothing had changed. */
    readonly unchanged: boolean;
  };
  /** Of the repository, where there is one. */
  readonly repository?: { readonly archives: number; readonly newestAt?: number };
}

/** Every metric: its name behind `etcdferry_`, and what it means. docs/operations.md lists the same. */
export const METRICS = {
  backup_last_success_timestamp_seconds: 'When a backup last succeeded, in seconds since the Unix epoch.',
  backup_last_run_timestamp_seconds: 'When a backup last ended, in any way, in seconds since the Unix epoch.',
  backup_last_run_duration_seconds: 'How long the last run took.',
  backup_last_run_exit_status: 'Exit status of the last run: 0 all done, 3 with something left out; any other says what failed.',
  backup_last_run_success: '1 when the last run left a backup, else 0.',
  backup_last_success_unchanged: '1 when the last success wrote nothing, since nothing had changed, else 0.',
  backup_keys: 'Keys (v2: nodes) in the last backup.',
  backup_raw_bytes: 'Bytes of all records in the last backup.',
  backup_archive_bytes: 'Bytes of the last archive as it is stored.',
  backup_revision: 'Revision (v2: index) of the last backup.',
  repository_archives: 'Archives that the repository keeps.',
  repository_newest_archive_timestamp_seconds: 'When the newest archive was made, in seconds since the Unix epoch.',
  repository_newest_archive_age_seconds: 'How old the newest archive was when the last run ended.',
} as const;

type MetricName = keyof typeof METRICS;
/** Values by metric, then by the label `name`. */
type Samples = Map<MetricName, Map<string, number>>;

const PREFIX = 'etcdferry_';
/** The file is for a collector, which is another user; there is no secret in it. */
const FOR_ALL = 0o644;
const LARGEST = 16 * 1024 * 1024;

/**
 * Writes a file of metrics in Prometheus' text format, in one step: a collector sees the old or the new
 * one. Samples of other NAMEs stay, and so does what a failed run cannot know, such as the last success.
 *
 * @throws FerryError `not-found` for a missing directory, `not-writable`, `no-space`
 */
export async function writeMetrics(path: string, runs: readonly BackupMetrics[]): Promise<void> {
  const samples = await readSamples(path);
  for (const run of runs) addRun(samples, run);
  const before = temporaryPrefix(basename(path));
  const temporary = join(dirname(path), await temporaryName(before));
  try {
    await writeFile(temporary, await format(samples), { flag: 'wx' });
    await clearLeftovers(dirname(path), before, (await stat(temporary)).mtimeMs);
    // Whatever the umask: a service's is often 0077.
    await chmod(temporary, FOR_ALL);
    await rename(temporary, path);
  } catch (thrown) {
    await rm(temporary, { force: true }).catch(() => {});
    throw FerryError.from(thrown, `writing metrics to ${path}`);
  }
}

function addRun(samples: Samples, { name, exit, startedAt, endedAt, backup, repository }: BackupMetrics): void {
  const set = (metric: MetricName, value: number): void => {
    samples.set(metric, (samples.get(metric) ?? new Map<string, number>()).set(name, value));
  };
  const success = backup !== undefined;
  set('backup_last_run_timestamp_seconds', endedAt / 1000);
  set('backup_last_run_duration_seconds', (endedAt - startedAt) / 1000);
  set('backup_last_run_exit_status', exit);
  set('backup_last_run_success', success ? 1 : 0);
  if (success) {
    set('backup_last_success_timestamp_seconds', endedAt / 1000);
    set('backup_last_success_unchanged', backup.unchanged ? 1 : 0);
    set('backup_keys', backup.keys);
    set('backup_raw_bytes', backup.rawBytes);
    set('backup_archive_bytes', backup.archiveBytes);
    set('backup_revision', Number(backup.revision));
  }
  if (repository === undefined) return;
  set('repository_archives', repository.archives);
  if (repository.newestAt === undefined) return;
  set('repository_newest_archive_timestamp_seconds', repository.newestAt / 1000);
  set('repository_newest_archive_age_seconds', Math.max(0, (endedAt - repository.newestAt) / 1000));
}

async function format(samples: Samples): Promise<string> {
  const { Gauge, Registry } = await import('prom-client');
  const registry = new Registry();
  for (const [metric, help] of Object.entries(METRICS) as [MetricName, string][]) {
    const values = samples.get(metric);
    if (values === undefined) continue;
    const gauge = new Gauge({ name: PREFIX + metric, help, labelNames: ['name'], registers: [registry] });
    for (const [name, value] of values) gauge.set({ name }, value);
  }
  return registry.metrics();
}

/** What an earlier run left; nothing where there is no file, or none of ours. NAMEs need no escapes. */
async function readSamples(path: string): Promise<Samples> {
  const samples: Samples = new Map();
  const text = await readFile(path, 'utf8').catch(() => '');
  if (text.length > LARGEST) return samples;
  for (const [, metric, name, number] of text.matchAll(/^etcdferry_(\w+)\{name="([A-Za-z0-9._-]+)"\} (\S+)$/gm)) {
    const value = Number(number);
    if (metric === undefined || name === undefined || !(metric in METRICS) || !Number.isFinite(value)) continue;
    const known = metric as MetricName;
    samples.set(known, (samples.get(known) ?? new Map<string, number>()).set(name, value));
  }
  return samples;
}
