import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { FerryError } from '../errors.js';
import type { ByteSource } from '../model/bytes.js';
import { quietRun, type RunContext } from '../model/run.js';
import { EVERYTHING } from '../model/source.js';
import { EtcdBackend } from '../wire/backend.js';
import { watchMember, whileAtRest } from './at-rest.js';
import { withFiles } from './data-dir-file.js';
import { type DataDirLayout, findDataDir, snapDbFiles } from './data-dir-layout.js';
import { type DataDirOptions, openDataDirV2 } from './data-dir-v2.js';
import { openMember } from './data-dir-v3.js';
import { holdsPut } from './snapshot-file-log.js';

/** 3.5: the last that serves the v2 API. */
const LAST_MINOR_WITH_V2 = 5;

/** Which stores of a data dir hold keys. */
export interface DataDirApis {
  readonly v2: boolean;
  readonly v3: boolean;
}

/**
 * Tells which APIs a stopped member's data dir holds keys of. Up to 3.5 the v2 store is replayed for it; of v3 the
 * log of changes is read up to the first that puts a key, so a keyspace whose keys were all
 * deleted since the last compaction counts as one with keys.
 *
 * @throws FerryError as `openDataDirV2` and `openDataDirV3` do
 */
export async function dataDirApis(
  path: string,
  options: Pick<DataDirOptions, 'walDir' | 'includeUncommitted' | 'maxMemory'> = {},
  run: RunContext = quietRun(),
): Promise<DataDirApis> {
  const layout = await findDataDir(path, options.walDir);
  return whileAtRest(await watchMember(layout, run.warn), () => apisIn(layout, path, options, run));
}

async function apisIn(
  layout: DataDirLayout,
  path: string,
  options: Pick<DataDirOptions, 'walDir' | 'includeUncommitted' | 'maxMemory'>,
  run: RunContext,
): Promise<DataDirApis> {
  const all = { ...options, location: path, selection: EVERYTHING };
  const hasNodes = !(await isWithoutV2(layout)) && (await holdsNodes(path, all, run));
  const hasDatabase = (await snapDbFiles(layout)).length > 0 || (await isThere(join(layout.snapDir, 'db')));
  if (!hasDatabase) return { v2: hasNodes, v3: false };
  const { backend, file } = await openBeside(hasNodes, layout, all, run);
  try {
    return { v2: hasNodes, v3: await holdsPut(backend) };
  } finally {
    await file.close();
  }
}

/** As `openMember`; where it is damaged and there are v2 keys, it is said how those are read. */
async function openBeside(v2: boolean, layout: DataDirLayout, options: DataDirOptions, run: RunContext): ReturnType<typeof openMember> {
  try {
    return await openMember(layout, options, run);
  } catch (thrown) {
    const error = FerryError.from(thrown);
    if (!v2 || error.code !== 'damaged') throw error;
    throw new FerryError('damaged', error.message, { hint: 'Its v2 tree is whole: read that with --api v2.', cause: thrown });
  }
}

async function holdsNodes(path: string, options: DataDirOptions, run: RunContext): Promise<boolean> {
  const v2 = await openDataDirV2(path, options, { ...run, warn: () => {} });
  await v2.close();
  return (v2.info.estimatedRecords ?? 0) > 0;
}

/** From 3.6 on etcd has no v2 store but for its members; what it keeps of one to replay may not be there. */
async function isWithoutV2(layout: DataDirLayout): Promise<boolean> {
  const path = join(layout.snapDir, 'db');
  if (!(await isThere(path))) return false;
  const read = ([file]: readonly ByteSource[]): Promise<EtcdBackend> => EtcdBackend.open(file as ByteSource);
  // What cannot be read is told by whoever needs it.
  const backend = await withFiles([path], read).catch(() => undefined);
  const versions = [backend?.meta.clusterVersion, backend?.meta.storageVersion];
  return versions.some((version) => Number(/^3\.(\d+)/.exec(version ?? '')?.[1] ?? 0) > LAST_MINOR_WITH_V2);
}

async function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
