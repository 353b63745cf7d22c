import { mkdirSync } from 'node:fs';
import { quietRun } from '../../src/model/run.js';
import { formatArchiveName } from '../../src/storage/archive-name.js';
import { openDirectoryStore } from '../../src/storage/directory-store.js';
import { Repository } from '../../src/storage/repository.js';
import type { StoredSummary } from '../../src/storage/stored-summary.js';

/** A summary of an archive that nobody opens. */
export const SUMMARY: StoredSummary = {
  api: 'v3',
  // More than a double holds.
  revision: 2n ** 60n,
  records: 1,
  leases: 0,
  rawBytes: 5,
  digests: { records: 'a'.repeat(64), values: 'b'.repeat(64) },
  size: 3,
  sha256: 'c'.repeat(64),
  source: { kind: 'live', location: 'http://h:2379', clusterId: 'cafe', serverVersion: '3.5.16' },
  verified: { bytes: 1_000 },
};

/** A new repository in a directory that is made for it. */
export async function newRepository(path: string): Promise<Repository> {
  mkdirSync(path);
  return new Repository(await openDirectoryStore(path, { create: false }));
}

/** Puts something into a repository that is an archive by its name. */
export async function addArchive(
  repository: Repository,
  name: string,
  time: number,
  summary: Partial<StoredSummary> = {},
): Promise<string> {
  const fields = { name, time, revision: 1n, encrypted: false };
  const archive = await repository.create(fields, quietRun());
  await archive.write(Buffer.from('abc'));
  await archive.finish();
  await repository.describe(archive, { ...SUMMARY, ...summary });
  return formatArchiveName(fields);
}
