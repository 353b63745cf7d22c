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
  /** What has `snapshot restore`: etcdutl where it is there; else etcdctl, which has it up to etcd 3.5. */
  readonly restore: string;
  readonly restoreName: 'etcdutl' | 'etcdctl';
  /** As etcd says it: `3.5.16`. */
  readonly version: string;
}

const VERSION_TIMEOUT = 20_000;

/**
 * Finds etcd, and etcdutl or etcdctl. From etcd 3.6 on it must be etcdutl: `etcdctl snapshot restore` is gone there
 * (etcd CHANGELOG-3.6).
 *
 * @throws FerryError `usage` where they are not found, or cannot be run
 */
export async function findEtcdTools({ etcdBin, searchPath }: EtcdPlaces): Promise<EtcdTools> {
  const directories = etcdBin === undefined ? searchPath.split(delimiter).filter((directory) => directory !== '') : [etcdBin];
  const [etcd, etcdutl, etcdctl] = await Promise.all(['etcd', 'etcdutl', 'etcdctl'].map((name) => found(name, directories)));
  const restore = etcdutl ?? etcdctl;
  const where = etcdBin ?? '$PATH';
  if (etcd === undefined || restore === undefined) {
    const missing = etcd === undefined ? 'etcd' : 'neither etcdutl nor etcdctl';
    throw new FerryError('usage', `the drill needs etcd's own programs: ${missing} is ${etcd === undefined ? 'not ' : ''}in ${where}`, {
      hint: 'Name the directory that has etcd and etcdutl (or etcdctl) with --etcd-bin DIR.',
    });
  }
  const version = await versionOf(etcd);
  if (etcdutl === undefined && !etcdctlRestores(version)) {
    throw new FerryError(
      'usage',
      `the drill needs etcdutl: it is not in ${where}, and the etcdctl of etcd ${version} restores no snapshot`,
      {
        hint: 'Put the etcdutl of that release beside etcd, or name another directory with --etcd-bin DIR.',
      },
    );
  }
  return { etcd, restore, restoreName: restore === etcdutl ? 'etcdutl' : 'etcdctl', version };
}

function etcdctlRestores(version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  return major < 3 || (major === 3 && minor < 6);
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
