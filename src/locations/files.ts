import { FerryError } from '../errors.js';
import type { RunContext } from '../model/run.js';
import type { Api, Source } from '../model/source.js';
import { type DataDirApis, dataDirApis } from '../readers/data-dir-apis.js';
import { openDataDirV2 } from '../readers/data-dir-v2.js';
import { openDataDirV3 } from '../readers/data-dir-v3.js';
import { openSnapshotFile } from '../readers/snapshot-file.js';
import { requireTreePrefixes } from '../selection/tree-prefix.js';
import { openFile } from '../storage/file.js';
import type { SourceRequest } from './source.js';

/**
 * Opens an etcd snapshot file, or a raw `db` file.
 *
 * @throws FerryError as `openSnapshotFile` does
 */
export async function openSnapshot(request: SourceRequest, path: string, run: RunContext): Promise<Source> {
  const bytes = await openFile(path);
  try {
    return await openSnapshotFile(
      bytes,
      { ...fileOptions(request), path, hash: request.skipHashCheck === true ? 'if-there' : 'required' },
      run,
    );
  } catch (thrown) {
    await bytes.close();
    throw thrown;
  }
}

/**
 * Opens a stopped member's data dir: its v2 tree or its v3 keyspace, whichever was asked for, else
 * the one that holds keys.
 *
 * @throws FerryError `usage` when both hold keys and none was asked for, and when only the one that was not asked for does;
 * as the readers do
 */
export async function openDataDir(request: SourceRequest, path: string, run: RunContext): Promise<Source> {
  const source = await openStore(request, path, run);
  try {
    if (source.info.estimatedRecords === 0 && request.api !== undefined) await refuseOtherApi(request, source.info.api, run);
    return source;
  } catch (thrown) {
    await source.close();
    throw thrown;
  }
}

async function openStore(request: SourceRequest, path: string, run: RunContext): Promise<Source> {
  const replay = only(request, ['walDir', 'includeUncommitted', 'maxMemory']);
  const api = request.api ?? (await apiWithKeys(request, path, run));
  if (api === 'v3') return openDataDirV3(path, { ...fileOptions(request), ...replay }, run);
  if (request.revision !== undefined || request.history !== undefined) {
    throw new FerryError('usage', '--revision and --history are for v3: a v2 store keeps no past states');
  }
  requireTreePrefixes(request.selection);
  return openDataDirV2(path, { location: request.location.text, selection: request.selection, ...replay }, run);
}

/** What was asked for is empty: if the other store is not, the wrong one was asked for. */
async function refuseOtherApi(request: SourceRequest, api: Api, run: RunContext): Promise<void> {
  // Whether the other one can be read at all is not what was asked.
  const found = await apisWithKeys(request, { ...run, warn: () => {} }).catch(() => undefined);
  run.signal.throwIfAborted();
  const [asked, other] = api === 'v2' ? (['v2', 'v3'] as const) : (['v3', 'v2'] as const);
  if (found?.[other] !== true) return;
  throw new FerryError('usage', `${request.location.text} holds no ${asked} keys: all its keys are ${other}`, {
    hint:
      other === 'v3'
        ? 'Read them with --api v3: backup and restore carry v3 keys.'
        : 'Read them with --api v2; migrate carries them to v3.',
  });
}

/**
 * Which APIs a data dir holds keys of.
 *
 * @throws FerryError as the readers do, and `usage` for a location that is no path
 */
export async function apisWithKeys(request: SourceRequest, run: RunContext): Promise<DataDirApis> {
  const { location } = request;
  if (location.kind !== 'path') throw new FerryError('usage', `${location.text} is no data dir`);
  return dataDirApis(location.path, only(request, ['walDir', 'includeUncommitted', 'maxMemory']), run);
}

async function apiWithKeys(request: SourceRequest, path: string, run: RunContext): Promise<Api> {
  const { v2, v3 } = await apisWithKeys(request, run);
  if (v2 && v3) {
    throw new FerryError('usage', `${path} holds both a v2 tree and v3 keys`, { hint: 'Say which with --api v2 or --api v3.' });
  }
  return v2 ? 'v2' : 'v3';
}

function fileOptions(request: SourceRequest) {
  const { location, selection, tmpDir } = request;
  return { location: location.text, selection, tmpDir, ...only(request, ['revision', 'history', 'checkPages']) };
}

/** The named fields of a request, where they have a value. */
function only<K extends keyof SourceRequest>(request: SourceRequest, names: readonly K[]): Pick<SourceRequest, K> {
  return Object.fromEntries(names.filter((name) => request[name] !== undefined).map((name) => [name, request[name]])) as Pick<
    SourceRequest,
    K
  >;
}
