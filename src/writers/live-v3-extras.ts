import type { V3Cluster } from '../cluster/v3.js';
import { reasonOf } from '../cluster/v3-errors.js';
import type { KeyMapping } from '../convert/key-mapping.js';
import { showKey } from '../convert/key-text.js';
import { FerryError } from '../errors.js';
import type { KeyValue } from '../model/keyvalue.js';
import type { NoteBook } from '../model/note.js';
import type { RunContext } from '../model/run.js';
import type { KeySelection, Source } from '../model/source.js';
import { KeySet } from '../selection/key-set.js';
import { prefixEnd, startsWith } from '../selection/prefix.js';
import { selectRecords } from '../selection/select.js';
import { keyOf } from '../wire/keyvalue.js';
import { decodeTxnResponse } from '../wire/rpc.js';
import { encodeTxn } from '../wire/rpc-request.js';
import { tryAgain } from './live-v3-again.js';
import { type Columns, compareKey, keyAt } from './live-v3-columns.js';
import type { WriteMemory } from './live-v3-memory.js';
import type { LeaveAlone, Tally } from './live-v3-options.js';
import type { TargetRecords } from './live-v3-stream.js';
import { afterKey, type KeySpan, type TargetReader } from './live-v3-target.js';

/**
 * Where keys of the target count as extra: at names that a key could have got which the request chose and which the
 * source was taken with.
 *
 * @throws FerryError `usage` when the source knows nothing of what was chosen, or when no prefix bounds the removal and
 *   `everything` was not asked for
 */
export function extrasScope(how: 'prefixes' | 'everything', chosen: KeySelection, ofSource: KeySelection, mapping: KeyMapping): KeySet {
  const known = KeySet.of(chosen).intersect(KeySet.of(ofSource));
  if (known.isEmpty) {
    const taken = KeySet.of(ofSource).prefixes().map(showKey).join(', ');
    throw new FerryError('usage', `the source was not taken with any key that was chosen: nothing can be told to be extra`, {
      hint:
        taken === '' ? 'It was taken with no key at all.' : `It was taken with ${taken}. Choose under it, or leave --delete-extra away.`,
    });
  }
  const scope = mapping.mapSet(known);
  if (how === 'prefixes' && scope.has(Buffer.alloc(0))) {
    throw new FerryError('usage', 'keys that the source does not have can only be removed under a prefix, and none was chosen', {
      hint: 'Name one with --prefix, or ask for the whole keyspace explicitly.',
    });
  }
  return scope;
}

/**
 * Where nothing tells what a source was made of, it speaks only for prefixes under which it holds a key.
 *
 * @param chosen keys by their names in the source
 * @throws FerryError `usage` for a prefix chosen under which such a source holds none
 */
export async function requireKeys(source: Source, chosen: KeySelection): Promise<void> {
  const { info } = source;
  if (info.isSelectionKnown === true) return;
  const own = KeySet.of(info.selection);
  const prefixes = chosen.prefixes.length === 0 ? [Buffer.alloc(0)] : chosen.prefixes;
  let without = prefixes.filter((prefix) => own.meets(prefix));
  for await (const batch of selectRecords(source.records(), chosen)) {
    for (let i = 0; i < batch.count && without.length > 0; i++) {
      const key = keyOf(batch.bytes, batch.starts[i] as number, batch.ends[i] as number);
      without = without.filter((prefix) => !startsWith(key, prefix));
    }
    if (without.length === 0) return;
  }
  // What is excluded is there all the same.
  for await (const key of source.keysNear?.([]) ?? NONE) {
    without = without.filter((prefix) => !startsWith(key, prefix));
    if (without.length === 0) return;
  }
  const [first] = without;
  if (first === undefined) return;
  const where = first.length === 0 ? 'no key' : `no key under ${showKey(first)}`;
  throw new FerryError('usage', `${info.location} holds ${where}, and nothing tells whether it was made of all that there was`, {
    hint: 'Leave --delete-extra or that prefix away, or restore from an archive of a cluster, which says what it was taken with.',
  });
}

/**
 * Where keys count as extra that an earlier run of the same work wrote: wherever it may have written.
 */
export function scopeOf({ within }: WriteMemory): KeySet {
  return KeySet.under(within);
}

/**
 * Of keys that the source does not have, those that this work wrote may go, if nobody has changed them since, and if the
 * source would have them were they still there.
 */
export function onlyOurs(memory: WriteMemory, { speaksFor }: Pick<Source, 'speaksFor'>, notes: NoteBook): (kv: KeyValue) => boolean {
  return ({ key, createRevision, modRevision }) => {
    const [isOurs, wasOurs] = [memory.isOurs(modRevision), memory.isOurs(createRevision)];
    if (!isOurs && !wasOurs) return false;
    if (speaksFor?.(key) !== true) {
      notes.add(
        'not-told-by-source',
        'keys of earlier runs left alone: this source was not taken with them, and cannot tell whether they are gone',
        {
          example: showKey(key),
        },
      );
      return false;
    }
    if (isOurs) return true;
    const message = 'keys that the source has no more, left because somebody else has changed them in the target';
    notes.add('changed-by-others', message, { lossy: true, example: showKey(key) });
    return false;
  };
}

const KEYS_AT_ONCE = 128;

export interface ExtrasOptions {
  readonly cluster: V3Cluster;
  readonly target: TargetReader;
  readonly tally: Tally;
  readonly notes: NoteBook;
  readonly dryRun: boolean;
  readonly onExtra: (key: Buffer) => void;
  readonly run: RunContext;
  /** Whether a key that the source does not have may be removed; any may unless given. */
  readonly mayGo?: (kv: KeyValue) => boolean;
  /** Keys that are left alone even so. */
  readonly leaveAlone?: LeaveAlone | undefined;
}

/**
 * Removes the keys in scope that the source does not have, each only as it was seen. Both sides are
 * read once, in key order, the target in stretches from one batch of the source to the next.
 */
export async function removeExtras(records: TargetRecords, scope: KeySet, options: ExtrasOptions): Promise<void> {
  const remover = new Remover(spansOf(scope), options);
  let from: Buffer = Buffer.alloc(1);
  // Of all records: what the source has is no extra key, also where it is not written.
  for await (const columns of records.readAll()) {
    const to = afterKey(keyAt(columns, columns.count - 1));
    await remover.stretch({ from, to }, columns);
    from = to;
  }
  await remover.stretch({ from, to: END }, undefined);
  await remover.flush();
}

/**
 * Removes those of the keys found that may go, each only as it was seen.
 *
 * @param spans where to look for them
 */
export async function removeWithin(spans: readonly KeySpan[], options: ExtrasOptions): Promise<void> {
  const remover = new Remover(spans, options);
  await remover.stretch({ from: Buffer.alloc(1), to: END }, undefined);
  await remover.flush();
}

class Remover {
  readonly #spans: readonly KeySpan[];
  readonly #o: ExtrasOptions;
  #found: KeyValue[] = [];

  constructor(spans: readonly KeySpan[], options: ExtrasOptions) {
    this.#spans = spans;
    this.#o = options;
  }

  /** Looks for extra keys between two places of the source; `columns` has all its keys there. */
  async stretch(stretch: KeySpan, columns: Columns | undefined): Promise<void> {
    let i = 0;
    for (const span of this.#spans) {
      const common = intersection(span, stretch);
      if (common === undefined) continue;
      for await (const page of this.#o.target.read(common, 'keys')) {
        this.#o.run.signal.throwIfAborted();
        for (const kv of page) {
          while (columns !== undefined && i < columns.count && compareKey(columns, i, kv.key) < 0) i++;
          if (columns !== undefined && i < columns.count && compareKey(columns, i, kv.key) === 0) continue;
          await this.#extra(kv);
        }
      }
    }
  }

  /** Removes what was found and is not removed yet. */
  async flush(): Promise<void> {
    const found = this.#found;
    this.#found = [];
    if (found.length > 0) await this.#remove(found);
  }

  async #extra(kv: KeyValue): Promise<void> {
    if (this.#o.mayGo?.(kv) === false) return;
    const { leaveAlone } = this.#o;
    if (leaveAlone?.holds(kv.key, 0, kv.key.length) === true) {
      this.#o.notes.add(leaveAlone.note.code, leaveAlone.note.message, { example: showKey(kv.key) });
      return;
    }
    this.#o.onExtra(kv.key);
    if (this.#o.dryRun) {
      this.#o.tally.deleted++;
      return;
    }
    this.#found.push(kv);
    if (this.#found.length >= KEYS_AT_ONCE) await this.flush();
  }

  /** Removes keys in one transaction; when a guard does not hold, each by itself. */
  async #remove(found: readonly KeyValue[]): Promise<void> {
    const { cluster, target, tally, notes, run } = this.#o;
    const compares = found.map(({ key, modRevision }) => ({ target: 'mod', result: 'equal', key, operand: modRevision }) as const);
    const request = encodeTxn({ compares, success: found.map(({ key }) => ({ kind: 'delete', key })), failure: [] });
    let again = 0;
    try {
      const answer = decodeTxnResponse(
        await tryAgain(async () => {
          again++;
          return cluster.call('KV/Txn', request);
        }, run.signal),
      );
      target.saw(answer.header.revision);
      if (answer.succeeded) {
        tally.deleted += found.length;
        tally.transactions++;
        return;
      }
    } catch (thrown) {
      if (reasonOf(thrown) !== 'too-many-operations' || found.length === 1) throw thrown;
    }
    if (found.length > 1) for (const kv of found) await this.#remove([kv]);
    else await this.#notAsSeen(found[0] as KeyValue, again > 1, notes);
  }

  /** Gone: removed, perhaps by us, when the answer was lost. There: changed meanwhile, and left alone. */
  async #notAsSeen(kv: KeyValue, sentTwice: boolean, notes: NoteBook): Promise<void> {
    for await (const there of this.#o.target.readPoints([kv.key])) {
      if (there.length === 0) {
        if (sentTwice) this.#o.tally.deleted++;
        return;
      }
    }
    notes.add('extra-changed', 'keys that the source does not have changed in the target meanwhile and were left alone', {
      example: showKey(kv.key),
    });
  }
}

const NONE: readonly Buffer[] = [];

/** etcd's range_end for "to the end". */
const END: Buffer = Buffer.alloc(1);

/** The keys with a prefix. */
export function spanOf(prefix: Buffer): KeySpan {
  return { from: prefix.length === 0 ? Buffer.alloc(1) : prefix, to: prefixEnd(prefix) ?? END };
}

/** The stretches of keys that a set is made of, in key order. */
export function spansOf(keys: KeySet): KeySpan[] {
  return keys.ranges().map(({ start, end = END }) => ({ from: start, to: end }));
}

function intersection(a: KeySpan, b: KeySpan): KeySpan | undefined {
  const from = Buffer.compare(a.from, b.from) >= 0 ? a.from : b.from;
  const to = a.to.equals(END) ? b.to : b.to.equals(END) || Buffer.compare(a.to, b.to) <= 0 ? a.to : b.to;
  return to.equals(END) || Buffer.compare(from, to) < 0 ? { from, to } : undefined;
}
