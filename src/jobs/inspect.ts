import { identify } from '../kubernetes/select.js';
import { openSource, type SourceRequest } from '../locations/source.js';
import type { AuthData } from '../model/auth.js';
import { hasVanished } from '../model/lease.js';
import type { Note } from '../model/note.js';
import type { RunContext } from '../model/run.js';
import type { Source, SourceInfo } from '../model/source.js';
import { type Entry, entriesOf } from './entries.js';
import { warnOfNothing } from './nothing-selected.js';

/** Keys and bytes below one prefix: whatever is not counted below a longer one. */
export interface PrefixTotals {
  /** Ends in `/`; empty for keys without one. */
  readonly prefix: Buffer;
  readonly records: number;
  /** Keys and values together, in bytes. */
  readonly bytes: number;
}

export interface SizeTotals {
  readonly records: number;
  readonly directories: number;
  readonly keyBytes: number;
  readonly valueBytes: number;
  readonly largest: { readonly key: Buffer; readonly valueBytes: number } | undefined;
  readonly emptyValues: number;
  readonly withLease: number;
  readonly withExpiration: number;
  readonly lowestModified: bigint;
  readonly highestModified: bigint;
}

export interface LeaseTotals {
  readonly leases: number;
  readonly vanished: number;
  readonly shortestTtl: bigint | undefined;
  readonly longestTtl: bigint | undefined;
}

/** Objects and bytes of one kind in one namespace. */
export interface ObjectTotals {
  /** Empty where the value does not tell (it may be encrypted): then `resource` is all that is known. */
  readonly kind: string;
  readonly resource: string;
  readonly namespace: string | undefined;
  readonly objects: number;
  readonly bytes: number;
}

export interface Inspection {
  readonly source: SourceInfo;
  readonly totals: SizeTotals;
  /** The largest first; keys without a prefix and what is beyond `MAX_PREFIXES` are summed under an empty one, last. */
  readonly prefixes: readonly PrefixTotals[];
  /** Kubernetes' objects, the most bytes first; empty where there are none. */
  readonly objects: readonly ObjectTotals[];
  readonly leases: LeaseTotals;
  readonly auth: AuthData | undefined;
  readonly notes: readonly Note[];
}

/** Prefixes counted apart; keys need not have many in common. */
const MAX_PREFIXES = 10_000;
const SLASH = 0x2f;

/**
 * Reads a whole source and says what is in it.
 *
 * @param depth how many parts of a key, each with a `/` behind it, make a prefix at the most
 * @throws FerryError as the source does
 */
export async function inspect(request: SourceRequest, depth: number, run: RunContext): Promise<Inspection> {
  const source = await openSource(request, run);
  try {
    const leases = await leaseTotals(source);
    const auth = await source.auth();
    const { totals, prefixes, objects } = await readTotals(source, depth, run);
    await warnOfNothing(source, totals.records, request, run);
    return { source: source.info, totals, prefixes, objects, leases, auth, notes: source.notes.list() };
  } finally {
    await source.close();
  }
}

async function leaseTotals(source: Source): Promise<LeaseTotals> {
  let [leases, vanished] = [0, 0];
  let shortestTtl: bigint | undefined;
  let longestTtl: bigint | undefined;
  for await (const batch of source.leases()) {
    for (const lease of batch) {
      leases++;
      if (hasVanished(lease)) {
        vanished++;
        continue;
      }
      if (shortestTtl === undefined || lease.grantedTtl < shortestTtl) shortestTtl = lease.grantedTtl;
      if (longestTtl === undefined || lease.grantedTtl > longestTtl) longestTtl = lease.grantedTtl;
    }
  }
  return { leases, vanished, shortestTtl, longestTtl };
}

async function readTotals(source: Source, depth: number, run: RunContext): Promise<Pick<Inspection, 'totals' | 'prefixes' | 'objects'>> {
  const sizes = new SizeCounter();
  const prefixes = new PrefixCounter(depth);
  const objects = new ObjectCounter();
  for await (const batch of source.records()) {
    run.signal.throwIfAborted();
    for (const entry of entriesOf(batch, source.info)) {
      sizes.add(entry);
      prefixes.add(entry);
      objects.add(entry);
    }
    const { records, keyBytes, valueBytes } = sizes.totals;
    run.progress({
      phase: 'reading',
      records,
      bytes: keyBytes + valueBytes,
      ...(source.info.estimatedRecords === undefined ? {} : { totalRecords: source.info.estimatedRecords }),
    });
  }
  return { totals: sizes.totals, prefixes: prefixes.list(), objects: objects.list() };
}

type Writable<T> = { -readonly [K in keyof T]: T[K] };

class SizeCounter {
  readonly totals: Writable<SizeTotals> = {
    records: 0,
    directories: 0,
    keyBytes: 0,
    valueBytes: 0,
    largest: undefined,
    emptyValues: 0,
    withLease: 0,
    withExpiration: 0,
    lowestModified: 0n,
    highestModified: 0n,
  };

  add(entry: Entry): void {
    const t = this.totals;
    t.records++;
    t.keyBytes += entry.key.length;
    t.valueBytes += entry.value.length;
    if (entry.dir) t.directories++;
    else if (entry.value.length === 0) t.emptyValues++;
    if (entry.lease !== 0n) t.withLease++;
    if (entry.expiration !== 0n) t.withExpiration++;
    if (t.lowestModified === 0n || entry.modified < t.lowestModified) t.lowestModified = entry.modified;
    if (entry.modified > t.highestModified) t.highestModified = entry.modified;
    if (t.largest === undefined || entry.value.length > t.largest.valueBytes) {
      t.largest = { key: Buffer.from(entry.key), valueBytes: entry.value.length };
    }
  }
}

class PrefixCounter {
  readonly #depth: number;
  readonly #counts = new Map<string, { records: number; bytes: number }>();
  readonly #rest = { records: 0, bytes: 0 };

  constructor(depth: number) {
    this.#depth = depth;
  }

  add(entry: Entry): void {
    const prefix = prefixOf(entry, this.#depth);
    let count = prefix === '' ? this.#rest : this.#counts.get(prefix);
    if (count === undefined) {
      if (this.#counts.size < MAX_PREFIXES) {
        count = { records: 0, bytes: 0 };
        this.#counts.set(prefix, count);
      } else count = this.#rest;
    }
    count.records++;
    count.bytes += entry.key.length + entry.value.length;
  }

  list(): PrefixTotals[] {
    const prefixes = [...this.#counts].map(([prefix, count]) => ({ prefix: Buffer.from(prefix, 'latin1'), ...count }));
    prefixes.sort((a, b) => b.bytes - a.bytes || a.prefix.compare(b.prefix));
    return this.#rest.records === 0 ? prefixes : [...prefixes, { prefix: Buffer.alloc(0), ...this.#rest }];
  }
}

class ObjectCounter {
  readonly #counts = new Map<string, { -readonly [K in keyof ObjectTotals]: ObjectTotals[K] }>();

  add(entry: Entry): void {
    if (entry.dir) return;
    const { kind, path, namespace } = identify(entry.key, entry.value);
    if (path === undefined) return;
    const name = `${kind}\0${path.resource}\0${namespace ?? ''}`;
    let count = this.#counts.get(name);
    if (count === undefined) {
      if (this.#counts.size >= MAX_PREFIXES) return;
      count = { kind, resource: path.resource, namespace, objects: 0, bytes: 0 };
      this.#counts.set(name, count);
    }
    count.objects++;
    count.bytes += entry.value.length;
  }

  list(): ObjectTotals[] {
    return [...this.#counts.values()].sort((a, b) => b.bytes - a.bytes || (a.kind < b.kind ? -1 : 1));
  }
}

/**
 * The first `depth` parts of a key, as far as a slash ends them; a leading slash is no part. So what is
 * no deeper is counted in what it lies in, as `du --max-depth` counts files; a directory in itself.
 *
 * @returns a character for each byte
 */
function prefixOf({ key, dir }: Entry, depth: number): string {
  let at = key[0] === SLASH ? 1 : 0;
  for (let part = 0; part < depth; part++) {
    const slash = key.indexOf(SLASH, at);
    if (slash < 0) return dir ? `${key.toString('latin1')}/` : key.toString('latin1', 0, at);
    at = slash + 1;
  }
  return key.toString('latin1', 0, at);
}
