import { FerryError } from '../errors.js';
import type { RunContext } from '../model/run.js';
import type { Api, Source } from '../model/source.js';
import { type DataDirApis, dataDirApis } from '../readers/data-dir-apis.js';
import { openDataDirV2 } from '../readers/data-dir-v2.js';
import { openDataDirV3 } from '../readers/data-dir-v3.js';
import { openSnapshotFile } from '../readers/snapshot-file.js';
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
 * @throws FerryError `usage` when both hold keys and none was asked for, and as the readers do
 */
export async function openDataDir(request: SourceRequest, path: string, run: RunContext): Promise<Source> {
  const replay = only(request, ['walDir', 'includeUncommitted', 'maxMemory']);
  const api = request.api ?? (await apiWithKeys(request, path, run));
  if (api === 'v3') return openDataDirV3(path, { ...fileOptions(request), ...replay }, run);
  if (request.revision !== undefined || request.history !== undefined) {
    throw new FerryError('usage', '--revision and --history are for v3: a v2 store keeps no past states');
  }
  return openDataDirV2(path, { location: request.location.text, selection: request.selection, ...replay }, run);
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
  return { location: location.text, selection, tmpDir, ...only(request, ['revision', 'history']) };
}

/** The named fields of a request, where they have a value. */
function only<K extends keyof SourceRequest>(request: SourceRequest, names: readonly K[]): Pick<SourceRequest, K> {
  return Object.fromEntries(names.filter((name) => request[name] !== undefined).map((name) => [name, request[name]])) as Pick<
    SourceRequest,
    K
  >;
}
