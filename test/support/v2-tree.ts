import { recordAt } from '../../src/model/batch.js';
import type { TreeNode } from '../../src/model/node.js';
import type { Source } from '../../src/model/source.js';
import { decodeNode } from '../../src/wire/node.js';

/** A node as the v2 API's JSON has it. */
export interface ApiNode {
  readonly key?: string;
  readonly dir?: boolean;
  readonly value?: string;
  readonly nodes?: readonly ApiNode[];
  readonly createdIndex?: number;
  readonly modifiedIndex?: number;
  readonly expiration?: string;
}

/** A node as a line of text, for comparing trees: all but the exact bytes of a value that is not UTF-8. */
export function nodeLine(node: TreeNode): string {
  const { path, dir, value, createdIndex, modifiedIndex, expiration } = node;
  return JSON.stringify([path.toString(), dir, value.toString(), String(createdIndex), String(modifiedIndex), String(expiration)]);
}

/** The lines of an answer of the v2 API, by path; a Map so that answers can be laid over each other. */
export function apiLines(node: ApiNode, lines = new Map<string, string>()): Map<string, string> {
  const { key, dir = false, value = '', createdIndex, modifiedIndex, expiration } = node;
  if (key !== undefined && key !== '/') {
    const expires = expiration === undefined ? 0n : nanoseconds(expiration);
    lines.set(key, JSON.stringify([key, dir, value, String(createdIndex), String(modifiedIndex), String(expires)]));
  }
  for (const child of node.nodes ?? []) apiLines(child, lines);
  return lines;
}

/** Every record of a v2 source. */
export async function treeOf(source: Source): Promise<TreeNode[]> {
  const nodes: TreeNode[] = [];
  for await (const batch of source.records()) {
    for (let i = 0; i < batch.count; i++) nodes.push(decodeNode(recordAt(batch, i)));
  }
  return nodes;
}

function nanoseconds(time: string): bigint {
  const [, seconds, fraction = ''] = /^(.*?)(?:\.(\d+))?Z$/.exec(time) ?? [];
  return BigInt(Date.parse(`${seconds}Z`)) * 1_000_000n + BigInt(fraction.padEnd(9, '0'));
}
