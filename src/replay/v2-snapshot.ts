import { FerryError } from '../errors.js';
import type { SnapFile } from '../wire/snap.js';
import { parseGoTime } from './go-time.js';
import { type Damage, type JsonHandler, JsonScanner } from './json-scanner.js';
import { tooLarge } from './raft-log.js';
import { newNode, nodeCost, type V2Node } from './v2-node.js';
import { V2Store } from './v2-store.js';

const CHUNK = 1 << 20;
/** Bytes of memory that values are kept in together; of those replaced later no more than this stays for a value. */
const SLAB = 1 << 16;
const UINT64 = /^\d{1,20}$/;

/**
 * Restores the v2 store from the JSON in a `.snap` file, a megabyte at a time; of it all only the
 * tree stays in memory (`WatcherHub`, often the largest part, is stepped over).
 *
 * @param maxMemory most bytes of memory the tree may take
 * @throws FerryError `damaged` when it is not a v2 store's state; `failed` beyond `maxMemory`
 */
export async function restoreV2Store(snap: SnapFile, maxMemory: number, signal?: AbortSignal): Promise<V2Store> {
  const builder = new TreeBuilder(maxMemory);
  const scanner = new JsonScanner(builder, maxMemory);
  for (let at = 0; at < snap.stateLength; at += CHUNK) {
    signal?.throwIfAborted();
    scanner.write(await snap.source.read(snap.stateOffset + at, Math.min(CHUNK, snap.stateLength - at)));
  }
  scanner.end();
  return builder.finish();
}

type Place =
  | { readonly kind: 'top'; key: string }
  | { readonly kind: 'node'; readonly node: V2Node; key: string }
  | { readonly kind: 'children'; readonly node: V2Node; key: string; damage: Damage };

/** Builds the tree from `{"Root":node,"CurrentIndex":n,…}` (store.go, node.go); members not known are stepped over. */
class TreeBuilder implements JsonHandler {
  readonly #maxMemory: number;
  readonly #places: Place[] = [];
  readonly #values = new Values();
  /** Depth within a value that is not looked at. */
  #skipping = 0;
  #memory = 0;
  #root: V2Node | undefined;
  #index: bigint | undefined;

  constructor(maxMemory: number) {
    this.#maxMemory = maxMemory;
  }

  finish(): V2Store {
    if (this.#root?.children === undefined || this.#index === undefined) throw bad('is not the state of a v2 store');
    const store = new V2Store(this.#maxMemory, this.#root);
    store.index = this.#index;
    return store;
  }

  open(kind: 'object' | 'array'): void {
    const place = this.#places.at(-1);
    if (this.#skipping > 0 || kind === 'array') this.#skipping++;
    else if (place === undefined) this.#places.push({ kind: 'top', key: '' });
    else if (place.kind === 'top' && place.key === 'Root') {
      this.#root = newNode('', undefined, 0n, false);
      this.#places.push({ kind: 'node', node: this.#root, key: '' });
    } else if (place.kind === 'node' && place.key === 'Children') {
      place.node.children = new Map();
      this.#places.push({ kind: 'children', node: place.node, key: '', damage: 'none' });
    } else if (place.kind === 'children') {
      const node = newNode(place.key, place.node, 0n, false);
      node.damage = place.damage;
      place.node.children?.set(place.key, node);
      this.#places.push({ kind: 'node', node, key: '' });
    } else this.#skipping++;
  }

  close(): void {
    if (this.#skipping > 0) {
      this.#skipping--;
      return;
    }
    const place = this.#places.pop();
    if (place?.kind === 'node') this.#finishNode(place.node);
  }

  #finishNode(node: V2Node): void {
    this.#memory += nodeCost(node);
    if (this.#memory > this.#maxMemory) throw tooLarge(this.#maxMemory);
  }

  key(bytes: Buffer, damage: Damage): void {
    const place = this.#places.at(-1);
    if (this.#skipping > 0 || place === undefined) return;
    place.key = bytes.toString('latin1');
    if (place.kind === 'children') place.damage = damage;
  }

  string(bytes: Buffer, damage: Damage): void {
    const place = this.#places.at(-1);
    if (this.#skipping > 0 || place === undefined) return;
    if (place.kind === 'children') throw bad('has a child that is not a node');
    if (place.kind !== 'node') return;
    if (place.key === 'ExpireTime') place.node.expiration = parseGoTime(bytes.toString('latin1'));
    else if (place.key === 'Value') {
      place.node.value = this.#values.keep(bytes);
      place.node.damage = worse(place.node.damage, damage);
    }
  }

  literal(text: string): void {
    const place = this.#places.at(-1);
    if (this.#skipping > 0 || place === undefined) return;
    if (place.kind === 'children') throw bad('has a child that is not a node');
    if (place.kind === 'top' && place.key === 'CurrentIndex') this.#index = uint64(text);
    if (place.kind !== 'node') return;
    if (place.key === 'CreatedIndex') place.node.createdIndex = uint64(text);
    else if (place.key === 'ModifiedIndex') place.node.modifiedIndex = uint64(text);
  }
}

/** Keeps values side by side: in memory shared with what is soon forgotten each would keep that alive too. */
class Values {
  #slab: Buffer = Buffer.alloc(0);
  #used = 0;

  keep(bytes: Buffer): Buffer {
    if (bytes.length > SLAB / 4) return Buffer.from(bytes);
    if (this.#used + bytes.length > this.#slab.length) {
      this.#slab = Buffer.allocUnsafeSlow(SLAB);
      this.#used = 0;
    }
    const from = this.#used;
    this.#used += bytes.copy(this.#slab, from);
    return this.#slab.subarray(from, this.#used);
  }
}

function worse(a: Damage, b: Damage): Damage {
  return a === 'certain' || b === 'none' ? a : b;
}

function uint64(text: string): bigint {
  if (!UINT64.test(text)) throw bad('has an index that is not a number');
  return BigInt(text);
}

function bad(what: string): FerryError {
  return new FerryError('damaged', `the snapshot's JSON ${what}`);
}
