import { mkdir, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { FerryError } from '../errors.js';
import { parseLocation } from '../locations/parse.js';
import { openSource, type SourceRequest } from '../locations/source.js';
import type { RunContext } from '../model/run.js';
import { delegate, EVERYTHING, type RecordOrder, type Source } from '../model/source.js';
import { clearLeftovers, temporaryName } from '../sort/temporary.js';
import { createFile } from '../storage/file.js';
import { writeSnapshotFile } from '../writers/snapshot-file.js';
import { type RestoredServer, type SnapshotPlace, START_TIMEOUT, startRestored } from './drill-server.js';
import { type EtcdPlaces, findEtcdTools } from './drill-tools.js';
import { type AgainstAccount, type AgainstOptions, compareAgainst, compareOpen, type OpenVerified } from './verify-against.js';

/** What the name of a drill's directory begins with. */
const DIRECTORY = 'etcdferry-drill';

export interface DrillOptions extends EtcdPlaces {
  /** An existing directory for the snapshot file, the data dir and what must be spooled. */
  readonly tmpDir: string;
  /** What the restored server serves is compared with this, too. */
  readonly against?: AgainstOptions;
}

/** What a drill came to: the restored server was read back and compared. */
export interface DrillAccount {
  readonly etcdVersion: string;
  readonly restoredWith: 'etcdutl' | 'etcdctl';
  /** What the restored server serves, beside the records it was restored from; revisions and leases count. */
  readonly served: AgainstAccount;
  readonly milliseconds: number;
}

export interface DrillResult {
  readonly drill: DrillAccount;
  readonly against?: AgainstAccount;
}

/** What is drilled. */
export interface Drilled {
  readonly open: OpenVerified;
  /** A snapshot file to be restored as it is; else one is written from the source. */
  readonly snapshotFile?: SnapshotPlace;
}

/**
 * Restores a source as one would after a disaster: into a snapshot file, from it with etcd's own tool into
 * a data dir, and starts that etcd on a loopback port. Reads everything back at the source's revision and
 * compares, revisions and leases too. Whatever happens, the server is killed and its directory removed.
 *
 * @throws FerryError `usage` for a v2 tree, and where etcd's programs are missing; `failed` when one of them fails
 */
export async function drill(drilled: Drilled, options: DrillOptions, run: RunContext): Promise<DrillResult> {
  const started = performance.now();
  const tools = await findEtcdTools(options);
  await using directory = await workDirectory(options.tmpDir);
  const source = await drilled.open({ selection: EVERYTHING });
  try {
    refuseTree(source);
    const file = await snapshotOf(drilled, source, directory.path, options.tmpDir, run);
    await using server = await startRestored(tools, file, directory.path, run);
    const served = await readBack(drilled, source.info.order, file, server, options, run);
    const account = { etcdVersion: tools.version, restoredWith: tools.restoreName, served, milliseconds: performance.now() - started };
    if (options.against === undefined) return { drill: account };
    const against = await compareAgainst((selected) => openServed(drilled, server, selected, options, run), options.against, run);
    return { drill: { ...account, milliseconds: performance.now() - started }, against };
  } finally {
    await source.close();
  }
}

function refuseTree({ info }: Source): void {
  if (info.api === 'v3') return;
  throw new FerryError('usage', `${info.location} is a v2 tree, which no etcd restores from a snapshot file`, {
    hint: 'Drill what it is to become: etcdferry migrate --from TREE --to new.tar, then verify new.tar --drill.',
  });
}

async function workDirectory(tmpDir: string): Promise<AsyncDisposable & { readonly path: string }> {
  // A drill's guard removes its directory; one that was killed before it had one cannot.
  await clearLeftovers(resolve(tmpDir), DIRECTORY);
  const path = join(resolve(tmpDir), await temporaryName(DIRECTORY));
  await mkdir(path, { mode: 0o700 }).catch((thrown) => {
    throw FerryError.from(thrown, tmpDir);
  });
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

/**
 * A snapshot file is restored as it is, unless its users would keep us out; of anything else one is
 * written, without users.
 */
async function snapshotOf(
  { snapshotFile }: Drilled,
  source: Source,
  directory: string,
  tmpDir: string,
  run: RunContext,
): Promise<SnapshotPlace> {
  if (snapshotFile === undefined) return writtenFile(source, directory, tmpDir, run);
  const auth = await source.auth();
  if (auth?.enabled !== true) return snapshotFile;
  run.warn(`${source.info.location}: authentication is on in it; a copy of it without users is restored`);
  return writtenFile(source, directory, tmpDir, run);
}

async function writtenFile(source: Source, directory: string, tmpDir: string, run: RunContext): Promise<SnapshotPlace> {
  const path = join(directory, 'snapshot.db');
  await writeSnapshotFile(source, await createFile(path, { overwrite: false }), { tmpDir }, run);
  return { path, skipHashCheck: false };
}

/** Reads everything back, and holds it to the source's records. */
async function readBack(
  { open }: Drilled,
  order: RecordOrder,
  file: SnapshotPlace,
  server: RestoredServer,
  options: DrillOptions,
  run: RunContext,
): Promise<AgainstAccount> {
  // A history has every change; what they came to is told by the file that was written of it.
  const left = order === 'revision' ? await openPlain(file.path, options, run) : await open({ selection: EVERYTHING });
  try {
    const right = await openServer(server, { selection: EVERYTHING }, left.info.revision, options, run);
    return await compareOpen(left, right, 'same-revision', { revisions: true, leases: true }, run);
  } finally {
    await left.close();
  }
}

function openPlain(path: string, { tmpDir }: DrillOptions, run: RunContext): Promise<Source> {
  return openSource({ location: parseLocation(path), connection: {}, selection: EVERYTHING, tmpDir, stdin: nothing() }, run);
}

async function openServed(
  drilled: Drilled,
  server: RestoredServer,
  selected: Pick<SourceRequest, 'selection' | 'objects'>,
  options: DrillOptions,
  run: RunContext,
): Promise<Source> {
  const original = await drilled.open(selected);
  const { selection, objects, revision, clusterId } = original.info;
  await original.close();
  const source = await openServer(server, { ...selected, selection }, revision, options, run);
  // It stands in for the cluster the records came from: only that one has the same revisions.
  const { clusterId: _, ...info } = source.info;
  const same = { ...(clusterId === undefined ? {} : { clusterId }), ...(objects === undefined ? {} : { objects }) };
  return { ...delegate(source), info: { ...info, ...same } };
}

async function openServer(
  { endpoint, process }: RestoredServer,
  selected: Pick<SourceRequest, 'selection' | 'objects'>,
  revision: bigint,
  { tmpDir }: DrillOptions,
  run: RunContext,
): Promise<Source> {
  // A large store takes its time to load, and until then the port is there but nobody answers.
  const connection = { dialTimeout: START_TIMEOUT, commandTimeout: START_TIMEOUT };
  const location = parseLocation(endpoint);
  try {
    return await openSource({ ...selected, location, connection, api: 'v3', revision, tmpDir, stdin: nothing() }, run);
  } catch (thrown) {
    if (!process.ended) throw thrown;
    throw new FerryError('failed', `the restored etcd ended while it loaded: ${process.lastWords}`, { cause: thrown });
  }
}

async function* nothing(): AsyncGenerator<Uint8Array> {}
