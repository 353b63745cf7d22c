import { expect } from 'vitest';
import { keysAndValues } from './compare.js';
import type { EtcdServer } from './etcd.js';
import type { ApiNode } from './v2-tree.js';
import { v3 } from './v3-workload.js';

/** What of a node, or of a key, has to survive a move. */
export interface Moved {
  readonly dir: boolean;
  readonly value: string;
  /** Milliseconds since the Unix epoch; undefined when permanent. */
  readonly expires: number | undefined;
}

/** By path or key. */
export type MovedTree = ReadonlyMap<string, Moved>;

/** The tree as the server itself tells it by HTTP, with the hidden nodes that are named. */
export async function treeOfServer(server: EtcdServer, hidden: readonly string[] = []): Promise<MovedTree> {
  const tree = new Map<string, Moved>();
  for (const path of ['/', ...hidden]) {
    const answer = await fetch(`${server.endpoint}/v2/keys${path}?recursive=true&quorum=true`);
    if (!answer.ok) throw new Error(`${path}: HTTP ${answer.status}`);
    gather(((await answer.json()) as { node: ApiNode }).node, tree);
  }
  return tree;
}

/** Lays the nodes of a v2 answer into a tree, by path. */
export function gather(node: ApiNode, tree = new Map<string, Moved>()): Map<string, Moved> {
  const { key = '', dir = false, value = '', expiration } = node;
  if (key.length > 1) tree.set(key, { dir, value, expires: expiration === undefined ? undefined : Date.parse(expiration) });
  for (const child of node.nodes ?? []) gather(child, tree);
  return tree;
}

/** X-Etcd-Index: counts every write. */
export async function indexOf(server: EtcdServer): Promise<number> {
  const answer = await fetch(`${server.endpoint}/v2/keys/?quorum=true`);
  await answer.arrayBuffer();
  return Number(answer.headers.get('x-etcd-index'));
}

/** What a tree has to become in v3: its values, each gone when it or a directory above it would be. */
export function keysOfTree(tree: MovedTree): MovedTree {
  const keys = new Map<string, Moved>();
  for (const [path, node] of tree) if (!node.dir) keys.set(path, { ...node, expires: earliest(tree, path) });
  return keys;
}

function earliest(tree: MovedTree, path: string): number | undefined {
  const all = path.split('/').map((_, i, parts) => tree.get(parts.slice(0, i + 1).join('/'))?.expires);
  const known = all.filter((time) => time !== undefined);
  return known.length === 0 ? undefined : Math.min(...known);
}

/** Every key of a v3 server, told by etcdctl; a lease's end by its gateway. */
export async function keysOfServer(server: EtcdServer): Promise<MovedTree> {
  const keys = new Map<string, Moved>();
  const ends = new Map<string, number>();
  for (const line of await keysAndValues(server)) {
    const [key, value, lease] = line.split(' ').map((part, i) => (i < 2 ? text(part) : part)) as [string, string, string];
    if (lease !== 'none' && !ends.has(lease)) ends.set(lease, await endOf(server, lease));
    keys.set(key, { dir: false, value, expires: ends.get(lease) });
  }
  return keys;
}

async function endOf(server: EtcdServer, lease: string): Promise<number> {
  const asked = Date.now();
  const { TTL } = (await v3(server.endpoint, 'lease/timetolive', { ID: lease })) as { TTL?: string };
  // Whole seconds, the rest cut off, at some time between question and answer.
  return (asked + Date.now()) / 2 + Number(TTL) * 1000 + 500;
}

function text(base64: string): string {
  return Buffer.from(base64, 'base64').toString();
}

/**
 * Expects the same paths with the same values, permanent where they were, gone when they would be.
 *
 * @param within seconds that expirations may be apart
 */
export function expectSame(actual: MovedTree, expected: MovedTree, within: number): void {
  expect(lines(actual)).toEqual(lines(expected));
  for (const [path, { expires }] of expected) {
    if (expires === undefined) continue;
    const apart = Math.abs((actual.get(path)?.expires ?? 0) - expires);
    expect(apart, `milliseconds between the expirations of ${path}`).toBeLessThanOrEqual(within * 1000);
  }
}

function lines(tree: MovedTree): string[] {
  return [...tree].map(([path, { dir, value, expires }]) => JSON.stringify([path, dir, value, expires !== undefined])).sort();
}
