import type { TreeCounts } from '../convert/v2-counts.js';

/** A rule that matched, by default or because the user said so. */
export interface MatchedRule {
  /** As it is, or would be, given. */
  readonly rule: string;
  readonly byDefault: boolean;
  /** What it did, to be read after the count. */
  readonly what: string;
  readonly count: number;
}

/** The flags that are rules, as typed. */
interface RuleFlags {
  readonly ttl?: string | undefined;
  readonly 'ttl-granularity'?: string | undefined;
  readonly 'empty-dirs'?: string | undefined;
  readonly hidden?: string | undefined;
  readonly 'drop-expired'?: boolean | undefined;
  readonly map?: readonly string[] | undefined;
  readonly 'strip-prefix'?: string | undefined;
  readonly 'add-prefix'?: string | undefined;
  readonly prefix?: readonly string[] | undefined;
  readonly 'exclude-prefix'?: readonly string[] | undefined;
}

/** Every rule that matched something, with how often. */
export function matchedRules(args: RuleFlags, counts: TreeCounts): MatchedRule[] {
  const rule = (flag: keyof RuleFlags, byDefault: string, count: number, what: string): MatchedRule => {
    const given = args[flag];
    return { rule: `--${flag} ${String(given ?? byDefault)}`.trim(), byDefault: given === undefined, count, what };
  };
  const all = [
    ...selections(args, counts),
    ...renames(args, counts),
    rule('ttl', 'exact', counts.mortalKeys, `keys with a TTL, ${TTL_MEANS[(args.ttl ?? 'exact').split('=', 1)[0] as string] ?? ''}`),
    ...(args['ttl-granularity'] === undefined
      ? []
      : [rule('ttl-granularity', '', counts.mortalKeys, 'keys whose expiration is rounded up')]),
    rule('empty-dirs', 'drop', counts.emptyDirectories, 'empty directories'),
    rule('hidden', 'keep', counts.hidden, 'hidden nodes'),
    {
      rule: args['drop-expired'] === true ? '--drop-expired' : 'expired nodes are left behind',
      byDefault: args['drop-expired'] !== true,
      count: counts.expired,
      what: 'expired nodes',
    },
  ];
  return all.filter(({ count }) => count > 0);
}

const TTL_MEANS: Readonly<Record<string, string>> = {
  exact: 'which expire when they would have',
  'attach-lease': 'which share one lease',
  permanent: 'which never expire now',
};

function selections({ prefix = [], 'exclude-prefix': excluded = [] }: RuleFlags, counts: TreeCounts): MatchedRule[] {
  const flags = [...prefix.map((each) => `--prefix ${each}`), ...excluded.map((each) => `--exclude-prefix ${each}`)];
  return flags.length === 0 ? [] : [{ rule: flags.join(' '), byDefault: false, count: counts.nodes, what: 'nodes chosen' }];
}

/** `--map` rules are counted by the longest OLD first, as they match. */
function renames({ map = [], 'strip-prefix': strip, 'add-prefix': add }: RuleFlags, counts: TreeCounts): MatchedRule[] {
  const longestFirst = [...map].sort((a, b) => oldLength(b) - oldLength(a));
  const named = (rule: string, count: number): MatchedRule => ({ rule, byDefault: false, count, what: 'keys renamed' });
  return [
    ...longestFirst.map((each, i) => named(`--map ${each}`, counts.mapped[i] ?? 0)),
    ...(strip === undefined ? [] : [named(`--strip-prefix ${strip}`, counts.keys)]),
    ...(add === undefined ? [] : [named(`--add-prefix ${add}`, counts.keys)]),
  ];
}

function oldLength(rule: string): number {
  return Buffer.byteLength(rule.slice(0, rule.indexOf('=')));
}
