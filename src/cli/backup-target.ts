import { FerryError } from '../errors.js';
import type { BackupReport } from '../jobs/backup.js';
import type { RepositoryTarget } from '../jobs/backup-to-repository.js';
import type { SealWith } from '../locations/age-keys.js';
import { detect } from '../locations/detect.js';
import type { Location } from '../locations/parse.js';
import { parseDuration } from '../locations/quantity.js';
import { isRepository, onlyName, willBeRepository } from '../locations/repository.js';
import type { SourceRequest } from '../locations/source.js';
import { repositoryOnly, s3Settings } from './repository-options.js';
import { defined, parsed } from './requests.js';
import type { RetentionArguments } from './retention-options.js';
import type { Terminal } from './terminal.js';

/** NAME of archives that were given none. */
const DEFAULT_NAME = 'etcd';

/** What `backup` takes for a repository, and what it does not. */
interface TargetArguments extends RetentionArguments {
  readonly name?: string[] | undefined;
  readonly create?: boolean | undefined;
  readonly wait?: string | undefined;
  readonly overwrite?: boolean | undefined;
  readonly 'skip-unchanged'?: boolean | undefined;
  readonly prune?: boolean | undefined;
  readonly 'dry-run'?: boolean | undefined;
  readonly 's3-endpoint'?: string | undefined;
}

/**
 * The repository that a backup goes into; undefined where it goes into a file.
 *
 * @param defaultName NAME of its archives where `--name` gives none
 * @throws FerryError `usage` for flags that do not fit
 */
export async function repositoryTarget(
  to: Location,
  args: TargetArguments,
  seal: SealWith | undefined,
  terminal: Terminal,
  defaultName: string = DEFAULT_NAME,
): Promise<RepositoryTarget | undefined> {
  if (!(await willBeRepository(to, args.create === true))) {
    const stray = repositoryOnly.find((name) => isMeant(name, args));
    if (stray !== undefined) throw await notARepository(to, `--${stray}`);
    return undefined;
  }
  if (args.overwrite === true) throw new FerryError('usage', '--overwrite: in a repository nothing is ever overwritten');
  return {
    location: to,
    name: onlyName(args.name) ?? defaultName,
    create: args.create === true,
    skipUnchanged: args['skip-unchanged'] === true,
    dryRun: args['dry-run'] === true,
    ...defined('seal', seal),
    ...defined('s3', s3Settings(args, terminal)),
    ...defined('wait', parsed(args, 'wait', parseDuration)),
  };
}

/** A profile's policy is no more meant than its `prune: true` where that was switched off. */
function isMeant(name: (typeof repositoryOnly)[number], args: TargetArguments): boolean {
  if (args[name] === undefined || args[name] === false) return false;
  return !(name.startsWith('keep-') && args.prune === false);
}

/** What a flag that only a repository has says of a location that is none: most often, that it is not mounted. */
async function notARepository(to: Location, flag: string): Promise<FerryError> {
  if (to.kind === 'path' && to.ending === 'unknown' && (await detect(to.path)) === 'missing') {
    return new FerryError('not-found', `${to.text}: no such directory; ${flag} is for repositories`, {
      hint: 'Check that it is mounted; --create makes a new one.',
    });
  }
  return new FerryError('usage', `${flag} is for repositories; ${to.text} is none`, {
    hint: 'A repository is a directory that is there, or s3://bucket/prefix.',
  });
}

/** The source of a backup into a repository: `--name` is the NAME of archives there, and no choice of objects. */
export async function sourceBesideRepository(from: SourceRequest): Promise<SourceRequest> {
  if (await isRepository(from.location)) return from;
  const { names: _, ...rest } = from;
  return rest;
}

/** What `backup --json` says of a repository. */
export function storedJson({ stored }: BackupReport): object {
  if (stored === undefined) return {};
  const { name, file, unchanged, size, sha256 } = stored;
  return { stored: { name, file, unchanged, size, sha256 } };
}
