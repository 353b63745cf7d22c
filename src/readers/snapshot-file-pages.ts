import { FerryError } from '../errors.js';
import type { NoteBook } from '../model/note.js';
import type { BackendView } from '../wire/backend.js';
import { checkPages, unreachedLeaves } from '../wire/bbolt-check.js';
import { boltDamage } from '../wire/bbolt-page.js';
import { REVISION_KEY_BYTES, TOMBSTONE_KEY_BYTES } from '../wire/revision-key.js';

const SEPARATOR = 0x5f;

/**
 * Looks at the pages that reading records does not lead to.
 *
 * @param strict whether what is wrong with them is damage; else a free list that is wrong is noted, as records are read past it
 * @throws FerryError `damaged`; the signal's reason
 */
export async function notePages(backend: BackendView, notes: NoteBook, strict: boolean, signal: AbortSignal): Promise<void> {
  const { bolt } = backend;
  if (!strict && bolt.meta.freelist === undefined) return;
  try {
    await checkPages(bolt);
    if (strict) await checkMeta(backend);
  } catch (thrown) {
    if (!(thrown instanceof FerryError) || thrown.code !== 'damaged') throw thrown;
    if (strict) throw withWayOut(thrown);
    notes.add('pages-damaged', 'etcd cannot open the file as it is; what is made of the records read from it can be', {
      example: thrown.message,
    });
  }
  if (!strict || (await hasChanges(backend))) return;
  const leaves = await unreachedLeaves(bolt, isRevisionKey, signal);
  if (leaves === 0) return;
  const message = 'pages with changes of keys that nothing in the file leads to, where it leads to none: deleted and compacted, or lost';
  notes.add('unreached-records', message, { count: leaves });
}

/**
 * etcd's tool writes into this bucket, without a look whether it is there (etcd server/etcdserver/cindex). The database of a member that
 * was stopped in its first moments may not have it yet; nor does it hold a change of a key then.
 */
async function checkMeta(backend: BackendView): Promise<void> {
  const { bolt } = backend;
  if (!(await bolt.buckets()).has('meta') && (await hasChanges(backend)))
    throw boltDamage(bolt.source.name, 'it has no bucket "meta", which every file of etcd has');
}

function withWayOut(error: FerryError): FerryError {
  return new FerryError('damaged', error.message, {
    hint: 'etcd cannot open it. As far as its records can be read, backup and restore --to new.db make a good file of them.',
    cause: error,
  });
}

async function hasChanges(backend: BackendView): Promise<boolean> {
  for await (const { count } of backend.log()) if (count > 0) return true;
  return false;
}

function isRevisionKey(key: Buffer): boolean {
  return (key.length === REVISION_KEY_BYTES || key.length === TOMBSTONE_KEY_BYTES) && key[8] === SEPARATOR;
}
