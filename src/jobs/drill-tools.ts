import { execFile } from 'node:child_process';
import { access, constants } from 'node:fs/promises';
import { delimiter, resolve } from 'node:path';
import { promisify } from 'node:util';
import { FerryError } from '../errors.js';

/** Where etcd's own programs are looked for. */
export interface EtcdPlaces {
  /** A directory that has them; else they are looked for in `searchPath`. */
  readonly etcdBin?: string;
  /** $PATH. */
  readonly searchPath: string;
}

/** etcd's own programs, as they were found. */
export interface EtcdTools {
  readonly etcd: string;
  /** What has `snapshot restore`: etcdutl where it is there, else etcdctl. */
  readonly restore: string;
  readonly restoreName: 'etcdutl' | 'etcdctl';
  /** As etcd says it: `3.5.16`. */
  readonly version: string;
}

const VERSION_TIMEOUT = 20_000;

/**
 * Finds etcd, and etcdutl or etcdctl.
 *
 * @throws FerryError `usage` where they are not found, or cannot be run
 */
export async function findEtcdTools({ etcdBin, searchPath }: EtcdPlaces): Promise<EtcdTools> {
  const directories = etcdBin === undefined ? searchPath.split(delimiter).filter((directory) => directory !== '') : [etcdBin];
  const [etcd, etcdutl, etcdctl] = await Promise.all(['etcd', 'etcdutl', 'etcdctl'].map((name) => found(name, directories)));
  const restore = etcdutl ?? etcdctl;
  if (etcd === undefined || restore === undefined) {
    const missing = etcd === undefined ? 'etcd' : 'neither etcdutl nor etcdctl';
    const where = etcdBin ?? '$PATH';
    throw new FerryError('usage', `the drill needs etcd's own programs: ${missing} is ${etcd === undefined ? 'not ' : ''}in ${where}`, {
      hint: 'Name the directory that has etcd and etcdutl (or etcdctl) with --etcd-bin DIR.',
    });
  }
  return { etcd, restore, restoreName: restore === etcdutl ? 'etcdutl' : 'etcdctl', version: await versionOf(etcd) };
}

async function found(name: string, directories: readonly string[]): Promise<string | undefined> {
  for (const directory of directories) {
    const path = resolve(directory, name);
    const isThere = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (isThere) return path;
  }
  return undefined;
}

async function versionOf(etcd: string): Promise<string> {
  try {
    const { stdout } = await promisify(execFile)(etcd, ['--version'], { timeout: VERSION_TIMEOUT, env: {} });
    const version = /etcd Version: (\S+)/.exec(stdout)?.[1];
    if (version !== undefined) return version;
  } catch (thrown) {
    throw new FerryError('usage', `${etcd} --version cannot be run`, {
      hint: 'Name another directory with --etcd-bin DIR.',
      cause: thrown,
    });
  }
  throw new FerryError('usage', `${etcd} --version does not tell a version`, { hint: 'Name another directory with --etcd-bin DIR.' });
}
