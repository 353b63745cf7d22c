import type { ArchiveAccount } from '../archive/account.js';
import { packArchive } from '../archive/pack.js';
import { proveArchive } from '../archive/prove.js';
import { SAME_KEYS } from '../convert/key-mapping.js';
import { convertTree } from '../convert/v2-to-v3.js';
import { FerryError } from '../errors.js';
import { archiveLimits, openArchiveBytes } from '../locations/archive.js';
import { detect } from '../locations/detect.js';
import { openSource, type SourceRequest } from '../locations/source.js';
import { type ArchiveTarget, openArchiveSink } from '../locations/target.js';
import { type Note, NoteBook } from '../model/note.js';
import type { RunContext } from '../model/run.js';
import type { Source, SourceInfo } from '../model/source.js';
import { sortRecords } from '../sort/sorter.js';
import { findKeyValueKey } from '../wire/keyvalue-scan.js';
import { type LiveTarget, type WriteOptions, type WriteReport, writeLive } from './write-live.js';

export interface MigrateOptions {
  /** A v2 tree: a live cluster, a data dir, or an archive of one. */
  readonly from: SourceRequest;
  readonly to: { readonly live: LiveTarget } | { readonly archive: ArchiveTarget };
  readonly write: WriteOptions;
  readonly compress: 'gzip' | 'zstd';
  readonly toolVersion: string;
}

export interface MigrateReport {
  readonly source: SourceInfo;
  /** Keys the tree becomes. */
  readonly keys: number;
  readonly to: string;
  /** What was written into a live cluster. */
  readonly written?: WriteReport;
  /** The archive that was written. */
  readonly archive?: ArchiveAccount;
  readonly dryRun: boolean;
  readonly notes: readonly Note[];
}

/**
 * Carries a v2 tree over to v3: paths become keys, expirations leases. What v3 has no place for is
 * counted and named in the notes.
 *
 * @throws FerryError as source, converter and target do; `usage` when the source holds no v2 tree
 */
export async function migrate(options: MigrateOptions, run: RunContext): Promise<MigrateReport> {
  const { from, write } = options;
  const tree = await openTree(from, run);
  try {
    if (tree.info.api !== 'v2') {
      throw new FerryError('usage', `${from.location.text} holds v3 keys; migrate carries v2 trees over`, {
        hint: 'For v3 use backup and restore.',
      });
    }
    const source = await convertTree(tree, { selection: from.selection, mapping: write.mapping ?? SAME_KEYS });
    const keys = source.info.estimatedRecords ?? 0;
    const done =
      'live' in options.to
        ? await intoCluster(source, options.to.live, write, run)
        : await intoArchive(source, options.to.archive, options, run);
    const notes = new NoteBook();
    notes.merge(source.notes.list());
    notes.merge(done.written?.notes ?? []);
    return { source: tree.info, keys, dryRun: write.dryRun === true, ...done, notes: notes.list() };
  } finally {
    await tree.close();
  }
}

/** Where the keys went, and as what. */
interface Done {
  readonly to: string;
  readonly written?: WriteReport;
  readonly archive?: ArchiveAccount;
}

/** Opens the tree. Only an archive has digests to prove; it is believed once they were. */
async function openTree(from: SourceRequest, run: RunContext): Promise<Source> {
  const { location } = from;
  if (location.kind === 'stdio') {
    throw new FerryError('usage', 'migrate reads its source more than once; stdin can be read once', {
      hint: 'Put the archive into a file.',
    });
  }
  const found = location.kind === 'path' ? await detect(location.path) : 'live';
  if (found === 'archive') await proveLocation(from, run);
  return openSource(found === 'archive' || found === 'snapshot-file' ? from : { ...from, api: from.api ?? 'v2' }, run);
}

async function proveLocation(from: SourceRequest, run: RunContext): Promise<void> {
  const bytes = await openArchiveBytes(from, run);
  try {
    await proveArchive(bytes, run, archiveLimits(from));
  } finally {
    await bytes.close();
  }
}

async function intoCluster(
  source: Source,
  target: LiveTarget,
  { mapping: _, selection: __, ...write }: WriteOptions,
  run: RunContext,
): Promise<Done> {
  return writeLive(source, target, write, run);
}

async function intoArchive(
  source: Source,
  target: ArchiveTarget,
  { compress, toolVersion, write }: MigrateOptions,
  run: RunContext,
): Promise<Done> {
  const sink = await openArchiveSink(target);
  try {
    const archive = await packArchive(inKeyOrder(source, write.tmpDir, run), sink, { compress, toolVersion }, run);
    run.signal.throwIfAborted();
    await sink.finish();
    return { to: target.location.text, archive };
  } catch (thrown) {
    await sink.abort();
    throw thrown;
  }
}

/** Tree order is not the order of keys: `/a/b` stands before `/a-b`, whose bytes come first. */
function inKeyOrder(source: Source, tmpDir: string, run: RunContext): Source {
  return {
    ...source,
    info: { ...source.info, order: 'key' },
    records: () => sortRecords(source.records(), { findKey: findKeyValueKey, tmpDir }, run),
  };
}
