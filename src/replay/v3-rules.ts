/** What etcd's releases judge differently when they apply an entry of the log. */
interface Judgements {
  /** A permission without a key, or whose range does not end after it begins, is refused. */
  readonly refusesInvalidGrants: boolean;
  /** A grant without any permission in it kills etcd; later it is refused. */
  readonly diesOfEmptyGrants: boolean;
  /** Root may use and revoke a lease whatever its request's auth revision is. */
  readonly letsRootUseLeases: boolean;
  /** A password of more than 72 bytes, where the log has it and not its hash, is refused. */
  readonly refusesLongPasswords: boolean;
  /** Requests in nested transactions are asked for their permissions too. */
  readonly judgesNestedRequests: boolean;
  /** A put in a transaction is asked for all that a put by itself is: its lease, and reading what it asks to be told of. */
  readonly judgesPutsInTransactions: boolean;
  /** While there is no space a put in a nested transaction is refused too. */
  readonly countsNestedPuts: boolean;
  /** Permissions are asked for while an alarm that was raised in the tail lasts. */
  readonly judgesUnderAlarms: boolean;
  /** An alarm of a kind that etcd does not know kills it. */
  readonly diesOfUnknownAlarms: boolean;
  /** Reads at the top of a transaction count when it is applied again; else they are left out then. Their outcome is not looked at. */
  readonly keepsReads: boolean;
}

/** The rules of a run of patch releases. */
export interface V3Rules extends Judgements {
  /** First release that judges so, as `3.5.28`. */
  readonly since: string;
  /** Last one; undefined while it is the newest there is. */
  readonly until: string | undefined;
}

export type Judgement = keyof Judgements;

const OLDEST: Judgements = {
  refusesInvalidGrants: false,
  diesOfEmptyGrants: true,
  letsRootUseLeases: false,
  refusesLongPasswords: false,
  judgesNestedRequests: false,
  judgesPutsInTransactions: false,
  countsNestedPuts: false,
  judgesUnderAlarms: false,
  diesOfUnknownAlarms: false,
  keepsReads: false,
};

/** What every 3.6 and 3.7 has. */
const OF_36: Partial<Judgements> = {
  refusesInvalidGrants: true,
  diesOfEmptyGrants: false,
  letsRootUseLeases: true,
  refusesLongPasswords: true,
  judgesUnderAlarms: true,
};

type Changes = readonly (readonly [patch: number, change: Partial<Judgements>])[];

/**
 * By minor version, the patch releases that changed a rule (etcd's tags: server/etcdserver/apply_auth.go and apply.go, later
 * apply/ and txn/; auth/store.go; quota.go). 3.4 began as 3.3 was; what 3.8 has so far is as in 3.7.
 */
const HISTORY: ReadonlyMap<number, Changes> = new Map<number, Changes>([
  [
    4,
    [
      [0, {}],
      [25, { refusesInvalidGrants: true, diesOfEmptyGrants: false }],
      [27, { letsRootUseLeases: true }],
      [28, { refusesLongPasswords: true }],
      [42, { judgesNestedRequests: true }],
      [44, { judgesPutsInTransactions: true }],
    ],
  ],
  [
    5,
    [
      [0, { diesOfEmptyGrants: false, diesOfUnknownAlarms: true }],
      [8, { refusesInvalidGrants: true }],
      [10, { letsRootUseLeases: true, refusesLongPasswords: true }],
      [28, { judgesNestedRequests: true }],
      [30, { judgesPutsInTransactions: true }],
      [33, { countsNestedPuts: true }],
    ],
  ],
  [
    6,
    [
      [0, OF_36],
      [9, { judgesNestedRequests: true }],
      [11, { judgesPutsInTransactions: true }],
      [14, { countsNestedPuts: true }],
    ],
  ],
  [
    7,
    [
      [0, { ...OF_36, judgesNestedRequests: true, judgesPutsInTransactions: true, keepsReads: true }],
      [1, { countsNestedPuts: true }],
    ],
  ],
]);
const OLDEST_MINOR = 4;
const NEWEST_MINOR = 7;

/**
 * The rules that releases of a minor version judge by, oldest first: a data dir tells the minor version of its cluster,
 * not the patch release that ran on it.
 *
 * @param clusterVersion as etcd stores it, `3.5.0`; undefined, or what a cluster has before its members agree (`3.0.0`), stands
 * for any version
 * @param release the very release, `3.5.16`, where it is known from elsewhere
 */
export function rulesOf(clusterVersion: string | undefined, release?: string): V3Rules[] {
  if (release !== undefined) return [rulesOfRelease(release)];
  const minor = Number(/^3\.(\d+)\./.exec(`${clusterVersion ?? ''}.`)?.[1] ?? 0);
  if (minor === 0) return [...HISTORY.keys()].flatMap(rulesOfMinor);
  if (minor < OLDEST_MINOR) return rulesOfMinor(OLDEST_MINOR).slice(0, 1);
  return rulesOfMinor(Math.min(minor, NEWEST_MINOR));
}

function rulesOfRelease(release: string): V3Rules {
  const [, minor = 0, patch = 0] = release.split('.').map(Number);
  const rules = rulesOf(`3.${minor}.0`);
  const patchOf = ({ since }: V3Rules): number => Number(since.split('.')[2]);
  return minor > NEWEST_MINOR ? (rules.at(-1) as V3Rules) : (rules.findLast((rule) => patchOf(rule) <= patch) as V3Rules);
}

function rulesOfMinor(minor: number): V3Rules[] {
  const changes = HISTORY.get(minor) ?? [];
  let judgements = OLDEST;
  return changes.map(([patch, change], i) => {
    judgements = { ...judgements, ...change };
    const next = changes[i + 1]?.[0];
    return { ...judgements, since: `3.${minor}.${patch}`, until: next === undefined ? undefined : `3.${minor}.${next - 1}` };
  });
}

/**
 * Rules that judge alike, as far as these judgements go, joined into one.
 *
 * @param rules neighbours in the order of their releases
 */
export function joinAlike(rules: readonly V3Rules[], judgements: ReadonlySet<Judgement>): V3Rules[] {
  const joined: V3Rules[] = [];
  for (const rule of rules) {
    const last = joined.at(-1);
    if (last !== undefined && [...judgements].every((judgement) => last[judgement] === rule[judgement])) {
      joined[joined.length - 1] = { ...rule, since: last.since };
    } else joined.push(rule);
  }
  return joined;
}
