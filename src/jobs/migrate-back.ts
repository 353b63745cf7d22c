import { SAME_KEYS } from '../convert/key-mapping.js';
import { convertKeys } from '../convert/v3-to-v2.js';
import { FerryError } from '../errors.js';
import { detect } from '../locations/detect.js';
import { newFileKind } from '../locations/target.js';
import { NoteBook } from '../model/note.js';
import type { RunContext } from '../model/run.js';
import type { Source } from '../model/source.js';
import type { MigrateOptions, MigrateReport } from './migrate.js';
import { proveTree } from './migrate-back-proof.js';
import { refuseImpossible, requireSelected } from './nothing-selected.js';
import { openProven } from './proven-source.js';
import { writeArchive } from './write-file.js';
import { writeLive } from './write-live.js';

/**
 * Carries v3 keys back to a v2 tree, for those who must roll back: keys become paths, leases
 * expirations. Then the target is read back and compared, unless that is not wanted. What a tree cannot hold is left out or altered by fixed rules, counted and named in
 * the notes.
 *
 * @throws FerryError as source, converter and target do; `usage` when the source holds no v3 keys, or
 *   the target cannot hold a tree
 */
export async function migrateBack(options: MigrateOptions, run: RunContext): Promise<MigrateReport> {
  const { from, to, write } = options;
  if (options.kubernetesProtobuf === true) throw new FerryError('usage', '--kubernetes-protobuf is for the way from v2 to v3');
  if ('file' in to && (await newFileKind(to.file.location)) !== 'archive') {
    throw new FerryError('usage', `${to.file.location.text}: a snapshot file holds v3 keys, never a v2 tree`, {
      hint: 'Name a live cluster, or an archive: a file that ends in .tar.',
    });
  }
  refuseImpossible(from);
  const keys = requireSelected(await openKeys(from, run), from, run);
  try {
    const { leaseTtl, tmpDir } = write;
    const converted = await convertKeys(
      keys,
      {
        mapping: write.mapping ?? SAME_KEYS,
        tmpDir,
        ...(leaseTtl === undefined ? {} : { leaseTtl }),
        ...(options.directoryValue === undefined ? {} : { valueName: options.directoryValue }),
      },
      run,
    );
    try {
      const done = await carryAndProve(converted, options, run);
      return { source: keys.info, keys: converted.info.estimatedRecords ?? 0, dryRun: write.dryRun === true, ...done };
    } finally {
      await converted.close();
    }
  } finally {
    await keys.close();
  }
}

async function carryAndProve(tree: Source, options: MigrateOptions, run: RunContext): Promise<Done> {
  const done = await carry(tree, options, run);
  if (options.write.dryRun === true || options.proof === false) return done;
  const proof = await proveTree(tree, options, done.written?.skipped ?? 0, run);
  return proof === undefined ? done : { ...done, proof };
}

async function openKeys(from: MigrateOptions['from'], run: RunContext): Promise<Source> {
  const { location } = from;
  const found = location.kind === 'path' ? await detect(location.path) : location.kind;
  const either = found === 'live' || found === 'data-dir';
  const keys = await openProven(either ? { ...from, api: from.api ?? 'v3' } : from, run);
  if (keys.info.api === 'v3') return keys;
  await keys.close();
  throw new FerryError('usage', `${location.text} holds a v2 tree; --to-api v2 carries v3 keys back`, {
    hint: 'For v2 to v2 use backup and restore.',
  });
}

type Done = Omit<MigrateReport, 'source' | 'keys' | 'dryRun'>;

async function carry(tree: Source, { to, write, compress, toolVersion }: MigrateOptions, run: RunContext): Promise<Done> {
  if ('file' in to) {
    const archive = await writeArchive(tree, to.file, { compress, toolVersion }, run);
    return { to: to.file.location.text, archive, notes: tree.notes.list() };
  }
  // Selected and renamed already, and leases are expirations by now.
  const { mapping: _, selection: __, leaseTtl: ___, ...options } = write;
  const { to: where, written } = await writeLive(tree, to.live, options, run);
  const notes = new NoteBook();
  notes.merge(tree.notes.list());
  notes.merge(written.notes);
  return { to: where, written, notes: notes.list() };
}
