import { showKey } from '../convert/key-text.js';
import type { NoteBook } from '../model/note.js';
import { type Columns, keyAt } from './live-v3-columns.js';
import type { TargetLeases } from './live-v3-leases.js';
import type { TargetRecords } from './live-v3-stream.js';
import type { TargetReader } from './live-v3-target.js';

export interface EndedOptions {
  readonly leases: TargetLeases;
  readonly target: TargetReader;
  readonly notes: NoteBook;
  readonly signal: AbortSignal;
}

/**
 * Counts and names the keys that went with a lease which ended while they were written. To be called
 * when all is written; the source is read once more only when a lease has ended.
 */
export async function noteEnded(records: TargetRecords, options: EndedOptions): Promise<void> {
  const ended = await options.leases.ended();
  if (ended.size === 0) return;
  for await (const columns of records.read()) {
    options.signal.throwIfAborted();
    const keys = keysOf(columns, ended);
    if (keys.size > 0) await noteMissing(keys, options);
  }
}

/** The keys of these leases, by their bytes as text, with the lease of each. */
function keysOf(columns: Columns, ended: ReadonlySet<bigint>): Map<string, { readonly key: Buffer; readonly lease: bigint }> {
  const keys = new Map<string, { readonly key: Buffer; readonly lease: bigint }>();
  for (let i = 0; i < columns.count; i++) {
    const lease = columns.leases[i] as bigint;
    if (lease !== 0n && ended.has(lease)) keys.set(keyAt(columns, i).toString('latin1'), { key: keyAt(columns, i), lease });
  }
  return keys;
}

async function noteMissing(keys: ReturnType<typeof keysOf>, { leases, target, notes }: EndedOptions): Promise<void> {
  for await (const page of target.readPoints([...keys.values()].map(({ key }) => key))) {
    for (const { key } of page) keys.delete(key.toString('latin1'));
  }
  for (const { key, lease } of keys.values()) {
    // With a deadline that has passed, it was asked for.
    const isLoss = leases.table.wish(lease).kind !== 'past';
    const [code, message] = isLoss
      ? ['lease-ended', 'keys were written and are gone: their lease ended while the restore ran (--lease-ttl drop keeps them)']
      : ['lease-deadline-met', 'keys are there no more: the deadline of their lease passed while the restore ran'];
    notes.add(code as string, message as string, { lossy: isLoss, example: showKey(key) });
  }
}
