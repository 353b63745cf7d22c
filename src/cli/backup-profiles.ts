import { FerryError, worstExit } from '../errors.js';
import { harmlessLine } from '../model/shown-text.js';
import { backUpOne } from './backup-one.js';
import type { ParsedBackup } from './backup-options.js';
import { backupSettings } from './backup-options.js';
import { backupJson } from './backup-report.js';
import { type BackupRun, exitOfRun, pruneAfter, runBackup, tellWatchers } from './backup-run.js';
import { shownRun } from './command.js';
import { findConfig, readConfig } from './config-file.js';
import { formatBytes, formatCount, formatDuration } from './format.js';
import { failureJson, toJson } from './json.js';
import { nextStep } from './log.js';
import { sayNotes } from './notes.js';
import { applyProfile, chosenProfiles } from './profiles.js';
import { put, say, type Terminal } from './terminal.js';

const AT_A_TIME = 4;

/** A profile's command line, ready to run. */
interface Prepared {
  readonly profile: string;
  readonly args: ParsedBackup;
  readonly terminal: Terminal;
}

/**
 * Backs up what profiles of the configuration file say: one as the command line itself would, several
 * side by side. One that fails does not stop the others.
 *
 * @returns the exit status: the worst of all
 * @throws FerryError `usage` for a configuration that is wrong, before anything is done
 */
export async function backUpProfiles(args: ParsedBackup, terminal: Terminal): Promise<number> {
  const prepared = await prepare(args, terminal);
  const [first] = prepared;
  if (first !== undefined && prepared.length === 1) return backUpOne(first.args, first.terminal, first.profile);
  refuseForSeveral(args, prepared, terminal);
  const runs = await atATime(prepared, parallel(args), async (each) => {
    const run = await runBackup(each.args, each.terminal, each.profile);
    if (run.error !== undefined) tellFailed(run, run.error);
    return run;
  });
  // Pruning would keep backups of other profiles from beginning, so it comes when all are done.
  for (const run of runs) {
    const before = run.error;
    await pruneAfter(run);
    if (run.error !== undefined && run.error !== before) tellFailed(run, run.error);
    await tellWatchers(run);
    sayNotes(run.terminal, run.report?.notes ?? []);
  }
  const exit = worstExit(runs.map(exitOfRun));
  if (args.json === true) await put(terminal, `${toJson(documentOf(runs, exit))}\n`);
  else if (args.quiet !== true || exit !== 0) await tellTable(runs, terminal);
  return exit;
}

async function prepare(args: ParsedBackup, terminal: Terminal): Promise<Prepared[]> {
  const { profile, 'all-profiles': all, config: file, ...given } = args;
  if (profile !== undefined && all === true)
    throw new FerryError('usage', 'both --profile and --all-profiles were given', { hint: 'Keep one.' });
  const { warn } = shownRun(terminal, args).run;
  const config = await readConfig(await findConfig(file, terminal.env), backupSettings(), terminal.env, warn);
  const names = await chosenProfiles(config, all === true ? 'all' : (profile ?? []));
  const several = names.length > 1;
  return Promise.all(
    names.map(async (name) => {
      const run = await applyProfile(config, name, given, terminal.env);
      for (const warning of run.warnings) warn(warning);
      const ofProfile = { ...terminal, env: run.env, ...(several ? { label: name } : {}) };
      // A bar cannot be drawn by several.
      const shown = several ? { ...run.args, quiet: true } : run.args;
      return { profile: name, args: shown as ParsedBackup, terminal: ofProfile };
    }),
  );
}

/** What would make all profiles back up one cluster, or to one place. */
function refuseForSeveral(args: ParsedBackup, prepared: readonly Prepared[], terminal: Terminal): void {
  const flag = (['from', 'endpoints', 'name'] as const).find((name) => args[name] !== undefined);
  const what = flag === undefined ? undefined : `--${flag}`;
  const stray = what ?? (terminal.env.ETCDCTL_ENDPOINTS ? '$ETCDCTL_ENDPOINTS' : undefined);
  if (stray !== undefined) {
    throw new FerryError('usage', `${stray} would count for all ${prepared.length} profiles`, {
      hint: 'Leave it away, or choose one profile.',
    });
  }
  if (prepared.some(({ args: { to } }) => to === '-')) throw new FerryError('usage', 'several profiles cannot share stdout');
}

function parallel({ parallel: asked }: ParsedBackup): number {
  if (asked === undefined) return AT_A_TIME;
  if (Number.isInteger(asked) && asked > 0) return asked;
  throw new FerryError('usage', `--parallel: ${asked} is not a whole number above 0`);
}

/** Runs `each` for all of `items`, so many at once, and gives the results in their order. */
async function atATime<T, R>(items: readonly T[], limit: number, each: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  const queue = [...items.entries()];
  const worker = async (): Promise<void> => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) results[next[0]] = await each(next[1]);
  };
  await Promise.all(Array.from({ length: limit }, worker));
  return results;
}

function tellFailed({ terminal }: BackupRun, error: FerryError): void {
  const { code, exit } = error;
  const [message, hint] = [harmlessLine(error.message), harmlessLine(error.hint ?? nextStep(code, 'backup'))];
  say(terminal, `etcdferry: ${message}\n  ${hint}`, { level: 'error', event: 'failure', message, code, exit, hint });
}

async function tellTable(runs: readonly BackupRun[], terminal: Terminal): Promise<void> {
  const { table } = await import('./table.js');
  const rows = runs.map((run) => {
    const { profile = '', report, error, milliseconds = 0, pruned } = run;
    const counts =
      report === undefined
        ? ['', '', '']
        : [formatCount(report.archive.records), String(report.source.revision), formatBytes(report.stored?.size ?? report.archive.size)];
    const gone = pruned === undefined ? '' : String(pruned.removed);
    return [profile, resultText(run), ...counts, gone, formatDuration(milliseconds), error?.code ?? report?.to ?? ''];
  });
  const aligns = ['left', 'left', 'right', 'right', 'right', 'right', 'right', 'left'] as const;
  const drawn = table(['PROFILE', 'RESULT', 'KEYS', 'REVISION', 'SIZE', 'PRUNED', 'TIME', 'ARCHIVE'], rows, aligns).trimEnd();
  const profiles = runs.map((run) => ({ profile: run.profile, exit: exitOfRun(run) }));
  say(terminal, drawn, { level: 'info', event: 'report', message: `${runs.length} profiles`, profiles });
}

function resultText(run: BackupRun): string {
  const exit = exitOfRun(run);
  if (run.error !== undefined) return `failed (${exit})`;
  if (exit !== 0) return `left out (${exit})`;
  return run.report?.stored?.unchanged === true ? 'unchanged' : 'done';
}

/** The document that `backup --json` prints of several profiles. */
function documentOf(runs: readonly BackupRun[], exit: number): object {
  return {
    schema: 'etcdferry.backup-profiles/v1',
    profiles: runs.map((run) => ({
      profile: run.profile,
      exit: exitOfRun(run),
      ...(run.report === undefined ? {} : { backup: backupJson(run.report, run.milliseconds ?? 0, run.pruned) }),
      ...(run.error === undefined ? {} : { error: failureJson(run.error) }),
    })),
    exit,
  };
}
