import { isUtf8 } from 'node:buffer';
import { FerryError } from '../errors.js';
import { batchOf, type RecordBatch, recordAt } from '../model/batch.js';
import type { KeyValue } from '../model/keyvalue.js';
import { hasVanished, type Lease } from '../model/lease.js';
import { NoteBook } from '../model/note.js';
import type { RunContext } from '../model/run.js';
import { delegate, type KeySelection, type Source } from '../model/source.js';
import { isCleanPath } from '../model/tree-path.js';
import { KeySet } from '../selection/key-set.js';
import { RecordSorter } from '../sort/sorter.js';
import { decodeKeyValue } from '../wire/keyvalue.js';
import { decodeNode, encodeNode } from '../wire/node.js';
import { type KeyMapping, SAME_KEYS } from './key-mapping.js';
import { showKey } from './key-text.js';
import { type LeaseTtlRule, ttlWish } from './lease-ttl.js';
import { treeSortKey } from './v2-map.js';
import { placeOf } from './v3-to-v2-path.js';
import { TreeBuilder } from './v3-to-v2-tree.js';

export interface ConvertKeysOptions {
  /** How keys become paths, before anything else is done to them; byte for byte unless given. */
  readonly mapping?: KeyMapping;
  /** What becomes of a lease; default `remaining`. */
  readonly leaseTtl?: LeaseTtlRule;
  /** Where a key is a value and a prefix of others: the name of its value in the directory. */
  readonly valueName?: string;
  /** Where records are put that are more than memory should hold. */
  readonly tmpDir: string;
  /** The clock, in milliseconds since the Unix epoch. */
  readonly now?: () => number;
}

/**
 * v3 records as a v2 tree: every key a file by its name, with its create and mod revision for
 * createdIndex and modifiedIndex, and its lease's end as its expiration; directories, permanent ones,
 * as they are needed. What a tree cannot hold is left out or altered, each by a rule of its own,
 * counted and named in the notes (docs/v2.md has the table).
 *
 * The source is read once here, into an external sort; the records may then be read again and again.
 *
 * @param source v3 records in the order of keys; not closed with the source returned
 * @throws FerryError `usage` when the source holds no keys, two keys are mapped to one, or the mapping
 *   cannot take a key; as sorting does
 */
export async function convertKeys(source: Source, options: ConvertKeysOptions, run: RunContext): Promise<Source> {
  const { api, order } = source.info;
  if (api !== 'v3' || order !== 'key') throw new FerryError('usage', `only v3 keys can be made a tree, found ${api} in ${order} order`);
  const conversion = new KeyConversion(options, run);
  try {
    await conversion.fill(source);
    const count = await conversion.survey();
    conversion.notes.merge(source.notes.list());
    return {
      ...delegate(source),
      info: { ...source.info, api: 'v2', order: 'tree', selection: pathsOf(source.info.selection, options), estimatedRecords: count },
      notes: conversion.notes,
      leases: async function* () {},
      auth: async () => undefined,
      records: () => conversion.records(),
      close: () => conversion.close(),
    };
  } catch (thrown) {
    await conversion.close();
    throw thrown;
  }
}

/** What was chosen, as paths: what does not begin with a slash gets one. */
function pathsOf(selection: KeySelection, { mapping = SAME_KEYS }: ConvertKeysOptions): KeySelection {
  const slash = Buffer.from('/');
  const names = mapping.mapSet(KeySet.of(selection));
  const asTheyAre = names.intersect(KeySet.under([slash]));
  const slashAdded = names.without(KeySet.under([slash])).renamed({ rules: [], strip: Buffer.alloc(0), add: slash });
  return asTheyAre.union(slashAdded).selection();
}

/** Before each encoded node: the length of its sort key, the key, and whether a slash was added. */
const HEAD = 4;

class KeyConversion {
  readonly notes: NoteBook = new NoteBook();
  readonly #mapping: KeyMapping;
  readonly #rule: LeaseTtlRule;
  readonly #valueName: Buffer | undefined;
  readonly #now: number;
  readonly #sorter: RecordSorter;
  readonly #leases = new Map<bigint, Lease>();

  constructor(options: ConvertKeysOptions, run: RunContext) {
    this.#mapping = options.mapping ?? SAME_KEYS;
    this.#rule = options.leaseTtl ?? 'remaining';
    this.#valueName = options.valueName === undefined ? undefined : valueNameOf(options.valueName);
    this.#now = (options.now ?? Date.now)();
    this.#sorter = new RecordSorter({ findKey: findSortKey, tmpDir: options.tmpDir }, run);
  }

  /** Reads all keys and puts them in the order of their places. */
  async fill(source: Source): Promise<void> {
    if (this.#rule !== 'drop') for await (const some of source.leases()) for (const lease of some) this.#leases.set(lease.id, lease);
    for await (const batch of source.records()) {
      const placed: Buffer[] = [];
      for (let i = 0; i < batch.count; i++) {
        const record = this.#place(decodeKeyValue(recordAt(batch, i)));
        if (record !== undefined) placed.push(record);
      }
      if (placed.length > 0) await this.#sorter.add(batchOf(placed));
    }
    await this.#sorter.finish();
  }

  /** Goes through the tree once, for what is lost. */
  async survey(): Promise<number> {
    let count = 0;
    for await (const batch of this.#tree(this.notes)) count += batch.count;
    return count;
  }

  records(): AsyncGenerator<RecordBatch> {
    return this.#tree(new NoteBook());
  }

  close(): Promise<void> {
    return this.#sorter.close();
  }

  async *#tree(notes: NoteBook): AsyncGenerator<RecordBatch> {
    const builder = new TreeBuilder(notes, this.#valueName);
    let last: { readonly path: Buffer; readonly slashAdded: boolean } | undefined;
    for await (const batch of this.#sorter.batches()) {
      for (let i = 0; i < batch.count; i++) {
        const { node, slashAdded } = unpack(batch, i);
        if (last?.path.equals(node.path) && last.slashAdded === slashAdded && !node.dir) throw collision(node.path);
        last = { path: node.path, slashAdded };
        builder.push(node);
      }
      const nodes = builder.take();
      if (nodes.length > 0) yield batchOf(nodes.map(encodeNode));
    }
    builder.end();
    const rest = builder.take();
    if (rest.length > 0) yield batchOf(rest.map(encodeNode));
  }

  /** A key as a node behind what sorts it; undefined when it is left out. */
  #place(kv: KeyValue): Buffer | undefined {
    const { key, value } = kv;
    const place = placeOf(this.#mapping.mapKey(key));
    if (place.kind !== 'node') return this.#noPlace(key, place.kind);
    const { path, slashAdded, marksDirectory, hidden } = place;
    if (marksDirectory && value.length > 0) return this.#noPlace(key, 'no-path');
    const expiration = this.#expiration(kv);
    if (expiration === undefined) return undefined;
    const example = showKey(key);
    if (marksDirectory) this.notes.add('directory-from-marker', 'empty keys that end in a slash, made directories', { example });
    if (slashAdded)
      this.notes.add('slash-added', 'keys that got a slash before their name: a v2 path begins with one', { lossy: true, example });
    if (hidden) this.notes.add('hidden-in-v2', 'keys that no v2 listing will show: a part of their path begins with _', { example });
    if (!isUtf8(value)) {
      const message =
        'values that are not UTF-8, written as they are: etcd v2 shows U+FFFD for bytes that are none, and so do its snapshots';
      this.notes.add('value-not-utf8', message, { lossy: true, example });
    }
    const { createRevision: createdIndex, modRevision: modifiedIndex } = kv;
    return pack({ path, dir: marksDirectory, value, createdIndex, modifiedIndex, expiration }, slashAdded);
  }

  #noPlace(key: Buffer, why: 'not-utf8' | 'no-path'): undefined {
    const example = showKey(key);
    if (why === 'not-utf8')
      this.notes.add('key-not-utf8', 'keys left out because they are not UTF-8, and a v2 path is text', { lossy: true, example });
    else {
      const message = 'keys left out because a v2 tree cannot hold their path: an empty part, a slash at the end, . or ..';
      this.notes.add('path-not-v2', message, { lossy: true, example });
    }
  }

  /** When the key's lease ends, in nanoseconds since the Unix epoch; undefined when the key is left out for it. */
  #expiration({ key, lease: id }: KeyValue): bigint | undefined {
    if (id === 0n || this.#rule === 'drop') return 0n;
    const lease = this.#leases.get(id);
    const wish = lease !== undefined && hasVanished(lease) ? { kind: 'vanished' as const } : ttlWish(lease, this.#rule, this.#now);
    const example = showKey(key);
    switch (wish.kind) {
      case 'lease':
        return (BigInt(Math.trunc(this.#now)) + wish.ttl * 1000n) * 1_000_000n;
      case 'none':
        return 0n;
      case 'unknown':
        this.notes.add('lease-unknown', 'keys written without an expiration: the source does not tell when their lease ends', {
          ...{ lossy: true, example },
        });
        return 0n;
      case 'past':
        this.notes.add('lease-deadline-past', 'keys were left out: the deadline of their lease has passed', { example });
        return undefined;
      case 'vanished':
        this.notes.add('lease-vanished', 'keys were left out: their lease was gone when the source was read', { lossy: true, example });
        return undefined;
    }
  }
}

function pack(node: Parameters<typeof encodeNode>[0], slashAdded: boolean): Buffer {
  const key = treeSortKey(node.path);
  const head = Buffer.alloc(HEAD);
  head.writeUInt32LE(key.length);
  return Buffer.concat([head, key, Buffer.of(slashAdded ? 1 : 0), encodeNode(node)]);
}

function unpack(batch: RecordBatch, i: number): { readonly node: ReturnType<typeof decodeNode>; readonly slashAdded: boolean } {
  const record = recordAt(batch, i);
  const flag = HEAD + record.readUInt32LE(0);
  return { node: decodeNode(record, flag + 1), slashAdded: record[flag] === 1 };
}

function findSortKey(bytes: Buffer, start: number, _end: number, range: { start: number; end: number }): void {
  range.start = start + HEAD;
  range.end = start + HEAD + bytes.readUInt32LE(start);
}

function valueNameOf(text: string): Buffer {
  const name = Buffer.from(text);
  if (!text.includes('/') && isCleanPath(Buffer.from(`/${text}`))) return name;
  throw new FerryError('usage', `${JSON.stringify(text)} is no name of a v2 node`, { hint: 'A name is like value: no slash, not . or ..' });
}

function collision(path: Buffer): FerryError {
  return new FerryError('usage', `collision: two keys would both become ${showKey(path)}`, {
    hint: 'Change --map, --strip-prefix or --add-prefix so that keys stay apart.',
  });
}
