import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { quietRun, type RunContext } from '../model/run.js';
import { EVERYTHING } from '../model/source.js';
import type { BackendView } from '../wire/backend.js';
import { REVISION_KEY_BYTES } from '../wire/revision-key.js';
import { watchMember, whileAtRest } from './at-rest.js';
import { type DataDirLayout, findDataDir, snapDbFiles } from './data-dir-layout.js';
import { type DataDirOptions, openDataDirV2 } from './data-dir-v2.js';
import { openMember } from './data-dir-v3.js';

/** Which stores of a data dir hold keys. */
export interface DataDirApis {
  readonly v2: boolean;
  readonly v3: boolean;
}

/**
 * Tells which APIs a stopped member's data dir holds keys of. The v2 store is replayed for it; of v3 the
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
  const v2 = await openDataDirV2(path, all, { ...run, warn: () => {} });
  await v2.close();
  const hasDatabase = (await snapDbFiles(layout)).length > 0 || (await isThere(join(layout.snapDir, 'db')));
  if (!hasDatabase) return { v2: (v2.info.estimatedRecords ?? 0) > 0, v3: false };
  const { backend, file } = await openMember(layout, all, run);
  try {
    return { v2: (v2.info.estimatedRecords ?? 0) > 0, v3: await hasPut(backend) };
  } finally {
    await file.close();
  }
}

async function hasPut(backend: BackendView): Promise<boolean> {
  for await (const { keys, values, ends, count } of backend.log()) {
    for (let i = 0; i < count; i++) {
      const value = values[i] as number;
      // A put has no mark of a deletion, and a value; what --bump-revision leaves behind has none.
      if (value - (keys[i] as number) === REVISION_KEY_BYTES && (ends[i] as number) > value) return true;
    }
  }
  return false;
}

async function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
