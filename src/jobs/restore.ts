import { distinctKeys } from '../convert/distinct-keys.js';
import { type KeyMapping, mappedSelection, SAME_KEYS } from '../convert/key-mapping.js';
import { mergePieces } from '../convert/merge-pieces.js';
import { FerryError } from '../errors.js';
import type { Encryption } from '../kubernetes/encryption/encryption.js';
import type { SourceRequest } from '../locations/source.js';
import type { NewFile } from '../locations/target.js';
import type { AuthData } from '../model/auth.js';
import { type Note, NoteBook } from '../model/note.js';
import type { RunContext } from '../model/run.js';
import { delegate, type Source, type SourceInfo } from '../model/source.js';
import type { WriteSnapshotReport } from '../writers/snapshot-file.js';
import { movedValues } from './moved-values.js';
import { refuseImpossible, requireSelected } from './nothing-selected.js';
import { openProven, openProvenAsRead } from './proven-source.js';
import type { TargetInfo } from './target-info.js';
import { writeSnapshot } from './write-file.js';
import { type LiveTarget, type WriteOptions, type WriteReport, writeLive } from './write-live.js';

export interface RestoreOptions {
  /** An archive, a snapshot file or a data dir. */
  readonly from: SourceRequest;
  readonly to: { readonly live: LiveTarget } | { readonly snapshotFile: NewFile };
  readonly write: WriteOptions;
  /** For a snapshot file: how much the revision is raised; with `markCompacted` only. */
  readonly bumpRevision?: bigint;
  readonly markCompacted?: boolean;
  /** Opens what Kubernetes encrypted, and seals it anew for the key it moves to. */
  readonly reencrypt?: Encryption;
}

export interface RestoreReport {
  readonly source: SourceInfo;
  readonly to: string;
  readonly dryRun: boolean;
  /** A live target as it was before. */
  readonly target?: TargetInfo;
  /** What was written into a live cluster. */
  readonly written?: WriteReport;
  /** What was written into a snapshot file. */
  readonly snapshot?: WriteSnapshotReport;
  readonly notes: readonly Note[];
}

/**
 * Writes an archive, a snapshot file or a data dir into a live cluster, by its own API, or into a
 * new snapshot file. An archive is proven whole before anything is looked at in the target, and
 * conflicts are looked for before anything is written.
 *
 * @throws FerryError as source, cluster and writer do
 */
export async function restore(options: RestoreOptions, run: RunContext): Promise<RestoreReport> {
  const { from, to, write } = options;
  if (from.location.kind === 'live') {
    throw new FerryError('usage', `${from.location.text} is a live cluster; restore reads files`, {
      hint: 'Make an archive of it with backup first.',
    });
  }
  refuseImpossible(from);
  if ('live' in to) refuseForClusters(options);
  const opened = await openedFor(options, run);
  try {
    const source = requireSelected(moved(opened, options), from, run);
    const done = 'live' in to ? await intoCluster(source, to.live, write, run) : await intoFile(source, to.snapshotFile, options, run);
    const auth = await source.auth();
    const authNotes = write.withAuth === true ? permissionsNotRenamed(auth, write.mapping) : authLeftOut(auth, source.info);
    return { source: source.info, dryRun: write.dryRun === true, ...done, notes: [...done.notes, ...authNotes] };
  } finally {
    await opened.close();
  }
}

/** What of the source's users and roles is not written, and that the source let nobody in without them. */
function authLeftOut(auth: AuthData | undefined, { api }: SourceInfo): Note[] {
  const notes = new NoteBook();
  const names = [...(auth?.users ?? []).map(({ name }) => `user ${name}`), ...(auth?.roles ?? []).map(({ name }) => `role ${name}`)];
  const how = api === 'v3' ? '--with-auth restores them' : 'to be made again';
  for (const example of names) notes.add('auth-left-out', `users and roles of the source are left out (${how})`, { example });
  if (auth?.enabled === true) {
    notes.add('auth-not-enabled', 'authentication was on in the source; it is not switched on in what is written');
  }
  return notes.list();
}

/** Roles are granted what they have in the source, by the names that keys have there. */
function permissionsNotRenamed(auth: AuthData | undefined, mapping: KeyMapping = SAME_KEYS): Note[] {
  const notes = new NoteBook();
  if (mapping.identity) return notes.list();
  const what = 'permissions of roles are for the names that keys have in the source, not for their new ones';
  for (const { name, permissions } of auth?.roles ?? []) {
    if (permissions.length > 0) notes.add('permissions-not-renamed', what, { example: `role ${name}` });
  }
  return notes.list();
}

/** Keys that are renamed are read piece by piece, which no proof goes along with. */
function openedFor({ from, to, write }: RestoreOptions, run: RunContext): Promise<Source> {
  const inOnePass = 'snapshotFile' in to && (write.mapping ?? SAME_KEYS).identity;
  return inOnePass ? openProvenAsRead(from, run) : openProven(from, run);
}

/** Values that Kubernetes encrypted follow their keys; only v3 has any. */
function moved(source: Source, { from, write, reencrypt }: RestoreOptions): Source {
  if (source.info.api === 'v2' || source.info.order === 'revision') return source;
  return movedValues(source, {
    mapping: write.mapping ?? SAME_KEYS,
    etcdPrefixes: from.objects?.etcdPrefixes ?? [],
    ...(reencrypt === undefined ? {} : { encryption: reencrypt }),
  });
}

type Done = Omit<RestoreReport, 'source' | 'dryRun'>;

async function intoCluster(source: Source, target: LiveTarget, write: WriteOptions, run: RunContext): Promise<Done> {
  const byTargetClock = write.leaseTtl === 'deadline';
  // A tree brings directories along for their TTLs, which were not chosen.
  const chosen = source.info.api === 'v2' ? { ...write, selection: source.info.selection } : { ...write, byTargetClock };
  const done = await writeLive(source, target, chosen, run);
  const notes = new NoteBook();
  notes.merge(source.notes.list());
  notes.merge(done.written.notes);
  return { ...done, notes: notes.list() };
}

async function intoFile(source: Source, target: NewFile, options: RestoreOptions, run: RunContext): Promise<Done> {
  const { write, bumpRevision, markCompacted } = options;
  refuseForFiles(write);
  const snapshot = await writeSnapshot(
    renamed(source, write.mapping ?? SAME_KEYS),
    target,
    {
      tmpDir: write.tmpDir,
      withAuth: write.withAuth === true,
      ...(bumpRevision === undefined ? {} : { bumpRevision }),
      ...(markCompacted === undefined ? {} : { markCompacted }),
    },
    run,
  );
  return { to: target.location.text, snapshot, notes: snapshot.notes };
}

function renamed(source: Source, mapping: KeyMapping): Source {
  if (mapping.identity) return source;
  if (source.info.order !== 'key') throw new FerryError('usage', 'keys cannot be renamed in a history: leave --map and its like away');
  const info = { ...source.info, selection: mappedSelection(source.info.selection, mapping) };
  return { ...delegate(source), info, records: () => distinctKeys(mergePieces(() => source.records(), mapping)) };
}

function refuseForClusters({ bumpRevision, markCompacted }: RestoreOptions): void {
  const flags = { 'bump-revision': bumpRevision, 'mark-compacted': markCompacted };
  const given = Object.entries(flags).find(([, value]) => value !== undefined && value !== false);
  if (given === undefined) return;
  throw new FerryError('usage', `--${given[0]} is for a snapshot file; a live cluster numbers its revisions itself`, {
    hint: 'Restore into a file that ends in .db, or leave it away.',
  });
}

function refuseForFiles({ onConflict, leaseTtl, deleteExtra }: WriteOptions): void {
  const flags = { 'on-conflict': onConflict, 'lease-ttl': leaseTtl, 'delete-extra': deleteExtra };
  const given = Object.entries(flags).find(([, value]) => value !== undefined);
  if (given !== undefined) throw new FerryError('usage', `--${given[0]} is for live clusters; a snapshot file is written anew`);
}
