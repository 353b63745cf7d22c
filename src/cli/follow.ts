import type { InferredOptionTypes, Options } from 'yargs';
import { FerryError } from '../errors.js';
import type { Followed, FollowReport } from '../jobs/follow.js';
import type { MigrateOptions, MigrateReport } from '../jobs/migrate.js';
import { parseDuration } from '../locations/quantity.js';
import type { RunContext } from '../model/run.js';
import { formatCount, formatDuration, plural } from './format.js';
import { defined, parsed } from './requests.js';
import { say, type Terminal } from './terminal.js';

const GROUP = 'Online cut-over:';

/** Flags of `migrate --follow`. */
export const followOptions = {
  follow: { type: 'boolean', group: GROUP, describe: "Then carry the source's changes over as they come, until SIGINT" },
  'until-idle': {
    type: 'string',
    requiresArg: true,
    group: GROUP,
    describe: 'With --follow: end once no change has come for so long (30s)',
  },
} as const satisfies Readonly<Record<string, Options>>;

type Arguments = Partial<InferredOptionTypes<typeof followOptions>>;

/**
 * Migrates, and with `--follow` goes on as the source does. The first SIGINT ends the following, the
 * second one the run.
 *
 * @throws FerryError as the jobs do; `usage` for `--until-idle` without `--follow`
 */
export async function migrateOrFollow(
  options: MigrateOptions,
  args: Arguments,
  terminal: Terminal,
  run: RunContext,
): Promise<MigrateReport | FollowReport> {
  const untilIdle = parsed(args, 'until-idle', parseDuration);
  if (args.follow !== true) {
    if (untilIdle !== undefined) throw new FerryError('usage', '--until-idle is for --follow');
    const { migrate } = await import('../jobs/migrate.js');
    return migrate(options, run);
  }
  const { follow } = await import('../jobs/follow.js');
  const ending = new AbortController();
  const onFollowing = (): void => {
    say(terminal, `following the source${untilIdle === undefined ? '' : ' until it is idle'}; Ctrl-C ends it with a last check`);
    terminal.onInterrupt(() => {
      say(terminal, 'ending: reading the source once more, then checking the target; Ctrl-C again stops at once');
      ending.abort();
    });
  };
  return follow({ ...options, ...defined('untilIdle', untilIdle), ending: ending.signal, onFollowing }, run);
}

/** What was followed; undefined where nothing was. */
export function followedOf(report: MigrateReport | FollowReport): Followed | undefined {
  return 'followed' in report ? report.followed : undefined;
}

/** What was followed, as one line. */
export function followedText({ events, written, deleted, skipped, rereads, largestLag, seconds }: Followed): string {
  const parts = [
    `followed ${plural(events, 'change')} in ${formatDuration(1000 * seconds)}`,
    `${formatCount(written)} written`,
    `${formatCount(deleted)} deleted`,
    ...(skipped === 0 ? [] : [`${formatCount(skipped)} left alone`]),
    ...(rereads === 0 ? [] : [`the tree read anew ${plural(rereads, 'time')}`]),
    `${formatCount(largestLag)} behind at most`,
  ];
  return parts.join(', ');
}
