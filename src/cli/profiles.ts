import { FerryError } from '../errors.js';
import type { Config, Settings } from './config-file.js';
import { checkKey, type SettingValue } from './config-values.js';
import type { Terminal } from './terminal.js';

type Arguments = Readonly<Record<string, unknown>>;
type Environment = Terminal['env'];

/** A command line completed with what a profile says, and the environment it is to run in. */
export interface ProfileRun {
  readonly profile: string;
  readonly args: Arguments;
  readonly env: Environment;
  /** What to warn of before it runs. */
  readonly warnings: readonly string[];
}

/** Settings of which any one given elsewhere takes the place of all. */
const TOGETHER: readonly (readonly string[])[] = [
  ['from', 'endpoints'],
  ['cert', 'key'],
  ['user', 'password', 'password-file'],
  ['recipient', 'recipients-file', 'passphrase-file'],
  ['keep-last', 'keep-hourly', 'keep-daily', 'keep-weekly', 'keep-monthly', 'keep-yearly', 'keep-within'],
];

/** Settings that etcdctl's environment has too. Taken from the file they go there, not among the flags: a flag would be on the command line. */
const ETCDCTL: Readonly<Record<string, string>> = {
  endpoints: 'ETCDCTL_ENDPOINTS',
  cacert: 'ETCDCTL_CACERT',
  cert: 'ETCDCTL_CERT',
  key: 'ETCDCTL_KEY',
  user: 'ETCDCTL_USER',
  password: 'ETCDCTL_PASSWORD',
};

/**
 * What a profile makes of a command line: flags win over the environment, the environment over the file.
 *
 * @param given the flags of the command line; without a value where one was not given
 * @throws FerryError `usage` for a profile that is not there, or names what is not
 */
export async function applyProfile(config: Config, profile: string, given: Arguments, env: Environment): Promise<ProfileRun> {
  const settings = await settingsOf(config, profile);
  const flags = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  const inEnvironment = new Set(Object.keys(ETCDCTL).filter((name) => env[ETCDCTL[name] as string]));
  if (env.AWS_ENDPOINT_URL_S3 || env.AWS_ENDPOINT_URL) inEnvironment.add('s3-endpoint');
  const left = Object.entries(settings).filter(([name]) => !isTaken(name, new Set(Object.keys(flags))) && !isTaken(name, inEnvironment));
  const toEnvironment = left.filter(([name]) => name in ETCDCTL).map(([name, value]) => [ETCDCTL[name] as string, value as string]);
  const fromFile = Object.fromEntries(left.filter(([name]) => !(name in ETCDCTL)));
  const replaced =
    ('endpoints' in settings || 'from' in settings) && inEnvironment.has('endpoints') && !isTaken('from', new Set(Object.keys(flags)));
  return {
    profile,
    args: { ...fromFile, ...flags },
    env: { ...env, ...Object.fromEntries(toEnvironment) },
    warnings: replaced ? [`$ETCDCTL_ENDPOINTS takes the place of the cluster that profile ${profile} names`] : [],
  };
}

/**
 * The profiles that are meant.
 *
 * @throws FerryError `usage` for a name that is not there, and when there is none at all
 */
export async function chosenProfiles(config: Config, names: readonly string[] | 'all'): Promise<readonly string[]> {
  const there = [...config.profiles.keys()];
  if (there.length === 0)
    throw new FerryError('usage', `${config.path} has no profiles`, { hint: 'See docs/operations.md for an example.' });
  if (names === 'all') return there;
  for (const name of names) await checkKey(name, there, `${config.path}: profiles`);
  return [...new Set(names)];
}

/** A profile's own settings, over those of the cluster, the repository and the policy it names. */
async function settingsOf(config: Config, profile: string): Promise<Settings> {
  const { cluster, repository, policy, ...own } = config.profiles.get(profile) ?? {};
  const place = `${config.path}: profiles.${profile}`;
  const { location, ...stored } = await named(config.repositories, repository, `${place}.repository`);
  const kept = await named(config.policies, policy, `${place}.policy`);
  return {
    ...(await named(config.clusters, cluster, `${place}.cluster`)),
    ...stored,
    ...(location === undefined ? {} : { to: asRepository(location) }),
    ...kept,
    ...(policy === undefined ? {} : { prune: true }),
    ...own,
  };
}

/** A repository's location as one, whatever its name looks like: one that is not mounted must not be taken for a file to be made. */
function asRepository(location: SettingValue): SettingValue {
  if (typeof location !== 'string' || location === '' || location.endsWith('/')) return location;
  const isBucket = location.startsWith('s3://') && !/\.(tar|tar\.age|db)$/.test(location);
  return isBucket ? location : `${location}/`;
}

async function named(section: ReadonlyMap<string, Settings>, name: SettingValue | undefined, place: string): Promise<Settings> {
  if (name === undefined) return {};
  await checkKey(String(name), [...section.keys()], place);
  return section.get(String(name)) ?? {};
}

function isTaken(name: string, elsewhere: ReadonlySet<string>): boolean {
  const group = TOGETHER.find((names) => names.includes(name)) ?? [name];
  return group.some((other) => elsewhere.has(other));
}
