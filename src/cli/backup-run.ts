import { FerryError } from '../errors.js';
import type { BackupReport } from '../jobs/backup.js';
import type { RepositoryTarget } from '../jobs/backup-to-repository.js';
import type { HealthcheckEvent } from '../jobs/healthcheck.js';
import type { PruneReport } from '../jobs/prune.js';
import { parseLocation } from '../locations/parse.js';
import type { RunContext } from '../model/run.js';
import type { RetentionPolicy } from '../storage/retention.js';
import { readingSide, sealWith } from './age-options.js';
import type { ParsedBackup } from './backup-options.js';
import { backupText } from './backup-report.js';
import { repositoryTarget, sourceBesideRepository } from './backup-target.js';
import { failureOf, shownRun } from './command.js';
import { exitOfNotes } from './notes.js';
import { s3Settings } from './repository-options.js';
import { defined, sourceRequest } from './requests.js';
import { retentionPolicy } from './retention-options.js';
import type { Terminal } from './terminal.js';
import { toolVersion } from './version.js';

/** How long pruning waits for other backups when nothing is said: what was to be done is done. */
const PRUNE_WAIT = 10 * 60_000;
const DEFAULT_LABEL = 'etcd';

/** What is known of a backup and what belongs to it, step by step. */
export interface BackupRun {
  readonly args: ParsedBackup;
  readonly terminal: Terminal;
  /** Profile it is of. */
  readonly profile?: string;
  /** Milliseconds since the Unix epoch. */
  readonly startedAt: number;
  report?: BackupReport;
  /** How long the backup itself took. */
  milliseconds?: number;
  target?: RepositoryTarget;
  pruned?: PruneReport;
  error?: FerryError;
}

/** Its exit status so far. */
export function exitOfRun({ error, report }: BackupRun): number {
  return error?.exit ?? exitOfNotes(report?.notes ?? []);
}

/**
 * Makes a backup. Never fails: what goes wrong is kept in what is returned.
 */
export async function runBackup(args: ParsedBackup, terminal: Terminal, profile?: string): Promise<BackupRun> {
  const run: BackupRun = { args, terminal, startedAt: Date.now(), ...defined('profile', profile) };
  const started = performance.now();
  try {
    await tellHealthcheck(run, 'start', 'starting');
    run.report = await backUp(run);
  } catch (thrown) {
    run.error = failureOf(thrown, terminal.signal);
  }
  run.milliseconds = performance.now() - started;
  return run;
}

async function backUp(run: BackupRun): Promise<BackupReport> {
  const { args, terminal, profile } = run;
  if (args.to === undefined) throw new FerryError('usage', 'no target was given', { hint: 'Name it with --to, for example --to etcd.tar' });
  const to = parseLocation(args.to);
  const seal = sealWith(args);
  const repository = await repositoryTarget(to, args, seal, terminal, profile);
  if (repository !== undefined) run.target = repository;
  await policyOf(run);
  const asked = sourceRequest(readingSide(args), terminal);
  const from = repository === undefined ? asked : await sourceBesideRepository(asked);
  if (from.via !== undefined && from.location.kind !== 'live') throw new FerryError('usage', '--via is for live clusters');
  const how = { from, compress: args.compress ?? 'gzip', toolVersion: toolVersion() };
  const { run: context, display } = shownRun(terminal, args);
  try {
    if (repository !== undefined) {
      const { backupToRepository } = await import('../jobs/backup-to-repository.js');
      return await backupToRepository({ ...how, to: repository }, context);
    }
    const file = { location: to, overwrite: args.overwrite === true, dryRun: args['dry-run'] === true, stdout: terminal.stdout };
    const { backup } = await import('../jobs/backup.js');
    return await backup({ ...how, to: { ...file, ...defined('seal', seal), ...defined('s3', s3Settings(args, terminal)) } }, context);
  } finally {
    display.clear();
  }
}

/** What `--prune` is to keep; undefined without it. */
async function policyOf({ args }: BackupRun): Promise<RetentionPolicy | undefined> {
  const policy = await retentionPolicy(args);
  if (args.prune !== true) {
    if (policy === undefined || args.prune === false) return undefined;
    throw new FerryError('usage', 'a retention policy was given without --prune', { hint: 'Give --prune, or leave the policy away.' });
  }
  if (policy === undefined) {
    throw new FerryError('usage', '--prune was given without a policy', { hint: 'Say what to keep, for example --keep-daily 7.' });
  }
  const { checkPolicy } = await import('../storage/retention.js');
  checkPolicy(policy);
  return policy;
}

/** Prunes after a backup that succeeded and asks for it; what goes wrong is kept. */
export async function pruneAfter(run: BackupRun): Promise<void> {
  const { target, args, terminal } = run;
  if (run.error !== undefined || target === undefined || args.prune !== true) return;
  try {
    const policy = await policyOf(run);
    if (policy === undefined) return;
    const [{ prune }, { openRepository }] = await Promise.all([import('../jobs/prune.js'), import('../locations/repository.js')]);
    const quiet = shownRun(terminal, { quiet: true }).run;
    await using repository = await openRepository(target, quiet);
    const { dryRun } = target;
    const options = { policy, names: [target.name], dryRun, mayHoldNone: dryRun, wait: target.wait ?? PRUNE_WAIT };
    run.pruned = await prune(repository, options, quiet);
  } catch (thrown) {
    run.error = failureOf(thrown, terminal.signal);
  }
}

/** Tells those who watch: metrics and healthcheck. Neither can fail the backup; what goes wrong is a warning. */
export async function tellWatchers(run: BackupRun): Promise<void> {
  const { error, report, milliseconds = 0 } = run;
  await tellMetrics(run).catch((thrown) => context(run).warn(FerryError.from(thrown).message));
  const said = error?.message ?? (report === undefined ? '' : backupText(report, milliseconds));
  // A URL that is none was the failure itself, and has been told.
  await tellHealthcheck(run, error === undefined ? 'success' : 'fail', said).catch(() => {});
}

async function tellMetrics(run: BackupRun): Promise<void> {
  const { args, report, target, profile, startedAt } = run;
  if (args.metrics === undefined || args['dry-run'] === true) return;
  const { writeMetrics } = await import('../jobs/metrics.js');
  const name = target?.name ?? profile ?? DEFAULT_LABEL;
  const repository = await repositoryNumbers(run).catch(() => undefined);
  const backup = report && {
    keys: report.archive.records,
    rawBytes: report.archive.rawBytes,
    archiveBytes: report.stored?.size ?? report.archive.size,
    revision: report.source.revision,
    unchanged: report.stored?.unchanged === true,
  };
  const numbers = {
    name,
    exit: exitOfRun(run),
    startedAt,
    endedAt: Date.now(),
    ...defined('backup', backup),
    ...defined('repository', repository),
  };
  await writeMetrics(args.metrics, [numbers]);
}

async function repositoryNumbers(run: BackupRun): Promise<{ archives: number; newestAt?: number } | undefined> {
  const { target } = run;
  if (target === undefined) return undefined;
  const { openRepository } = await import('../locations/repository.js');
  // What there is to warn of has been said by the backup.
  const silent = { ...context(run), warn: () => {} };
  await using repository = await openRepository(target, silent);
  const archives = (await repository.archives()).filter(({ name }) => name === target.name);
  return { archives: archives.length, ...defined('newestAt', repository.newest(archives, silent)?.time) };
}

async function tellHealthcheck(run: BackupRun, event: HealthcheckEvent, message: string): Promise<void> {
  const { args } = run;
  if (args.healthcheck === undefined || args['dry-run'] === true) return;
  const { parseHealthcheck, ping } = await import('../jobs/healthcheck.js');
  await ping(parseHealthcheck(args.healthcheck), event, message, context(run));
}

function context({ terminal }: BackupRun): RunContext {
  return shownRun(terminal, { quiet: true }).run;
}
