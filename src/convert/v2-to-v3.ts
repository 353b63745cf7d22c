import { FerryError } from '../errors.js';
import { batchOf, type RecordBatch } from '../model/batch.js';
import type { Lease } from '../model/lease.js';
import { NoteBook } from '../model/note.js';
import { EVERYTHING, type KeySelection, type Source } from '../model/source.js';
import { encodeKeyValue } from '../wire/keyvalue.js';
import { type KeyMapping, SAME_KEYS } from './key-mapping.js';
import { showKey } from './key-text.js';
import { isSelected } from './select.js';
import { expirationSecond, leaseFor, leaseIdOf } from './v2-expiration.js';
import { type PlacedNode, walkNodes } from './v2-walk.js';

export interface ConvertTreeOptions {
  /** How paths become keys; byte for byte unless given. */
  readonly mapping?: KeyMapping;
  /** Prefixes of paths wanted, by their names in the source. */
  readonly selection?: KeySelection;
  /** The clock, in milliseconds since the Unix epoch: what has expired by then is left out. */
  readonly now?: () => number;
}

/**
 * A v2 tree as v3 records. Every file becomes a key by its path; its createdIndex, modifiedIndex
 * and 1 stand for create revision, mod revision and version, as `etcdctl migrate` of etcd 3.4 has
 * it. An expiration, its own or that of a directory above it, becomes a lease (leaseIdOf), shared
 * by all keys that expire in the same second. Directories vanish; empty ones and what has expired
 * are left out, counted and named.
 *
 * The tree is read once here, for the leases and the notes, and once more for the records; one
 * number is held per second in which something expires.
 *
 * @param source a v2 tree that can be read more than once; closed with the source returned
 * @returns v3 records, still in the order of the tree (`/a/b` before `/a-b`, which bytes have the
 *   other way round, and as mapped): `info.order` is `tree`, and who needs another must sort
 * @throws FerryError `usage` when the source is no tree, or the mapping cannot take a path
 */
export async function convertTree(source: Source, options: ConvertTreeOptions = {}): Promise<Source> {
  const { api, order } = source.info;
  if (api !== 'v2' || order !== 'tree') throw new FerryError('usage', `only a v2 tree can be converted, found ${api} in ${order} order`);
  const conversion = new TreeConversion(options);
  await conversion.survey(source.records());
  const { notes } = conversion;
  notes.merge(source.notes.list());
  return {
    info: { ...source.info, api: 'v3', order: 'tree', estimatedRecords: conversion.keys },
    notes,
    leases: () => conversion.leases(),
    auth: async () => undefined,
    records: () => conversion.records(source.records()),
    close: () => source.close(),
  };
}

class TreeConversion {
  readonly notes: NoteBook = new NoteBook();
  /** Number of keys the tree becomes. */
  keys = 0;
  readonly #mapping: KeyMapping;
  readonly #selection: KeySelection;
  readonly #nowMs: number;
  readonly #now: bigint;
  /** Seconds in which something expires. */
  readonly #seconds = new Set<bigint>();

  constructor({ mapping = SAME_KEYS, selection = EVERYTHING, now = Date.now }: ConvertTreeOptions) {
    this.#mapping = mapping;
    this.#selection = selection;
    this.#nowMs = Math.trunc(now());
    this.#now = BigInt(this.#nowMs) * 1_000_000n;
  }

  /** Looks at every node once: which leases there will be, and what is lost. */
  async survey(batches: AsyncIterable<RecordBatch>): Promise<void> {
    for await (const placed of walkNodes(batches)) {
      for (const each of placed) {
        if (isSelected(each.node.path, this.#selection)) this.#survey(each);
      }
    }
  }

  async *leases(): AsyncGenerator<readonly Lease[]> {
    const seconds = [...this.#seconds].sort((a, b) => (a < b ? -1 : 1));
    if (seconds.length > 0) yield seconds.map((second) => leaseFor(second, this.#nowMs));
  }

  async *records(batches: AsyncIterable<RecordBatch>): AsyncGenerator<RecordBatch> {
    for await (const placed of walkNodes(batches)) {
      const records = placed.filter((each) => this.#becomesKey(each)).map((each) => this.#convert(each));
      if (records.length > 0) yield batchOf(records);
    }
  }

  #survey(each: PlacedNode): void {
    const { node, expiration, isEmptyDirectory } = each;
    if (this.#isExpired(expiration)) {
      const message = 'nodes left out because they, or a directory above them, have expired';
      this.notes.add('expired-node-dropped', message, { lossy: true, example: showKey(node.path) });
    } else if (isEmptyDirectory) {
      this.notes.add('empty-directory', 'empty directories left out: v3 has keys only', { lossy: true, example: showKey(node.path) });
    } else if (!node.dir) {
      this.#mapping.mapKey(node.path);
      this.keys++;
      if (expiration !== 0n) this.#surveyExpiration(expiration, node.path);
    }
  }

  #surveyExpiration(expiration: bigint, path: Buffer): void {
    const second = expirationSecond(expiration);
    this.#seconds.add(second);
    if (second * 1_000_000_000n === expiration) return;
    const message = 'keys that expire up to a second later: a lease has whole seconds';
    this.notes.add('expiration-rounded', message, { example: showKey(path) });
  }

  #isExpired(expiration: bigint): boolean {
    return expiration !== 0n && expiration <= this.#now;
  }

  #becomesKey({ node, expiration }: PlacedNode): boolean {
    return !node.dir && !this.#isExpired(expiration) && isSelected(node.path, this.#selection);
  }

  #convert({ node, expiration }: PlacedNode): Buffer {
    return encodeKeyValue({
      key: this.#mapping.mapKey(node.path),
      value: node.value,
      createRevision: node.createdIndex,
      modRevision: node.modifiedIndex,
      version: 1n,
      lease: expiration === 0n ? 0n : leaseIdOf(expirationSecond(expiration)),
    });
  }
}
