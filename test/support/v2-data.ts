import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { type ApiNode, apiLines } from './v2-tree.js';

const DATA = join(import.meta.dirname, '../../testdata/etcd-v2');

/** The v2 data dirs in testdata/. */
export const V2_FIXTURES = ['v238', 'v34'] as const;

/** A fixture's data dir, unpacked; removed when disposed of. */
export class UnpackedDataDir implements Disposable {
  readonly #root: string;

  constructor(fixture: string) {
    this.#root = mkdtempSync(join(tmpdir(), 'etcdferry-v2-'));
    execFileSync('tar', ['xzf', join(DATA, `${fixture}.data-dir.tar.gz`), '-C', this.#root]);
  }

  get path(): string {
    return join(this.#root, 'data');
  }

  [Symbol.dispose](): void {
    rmSync(this.#root, { recursive: true, force: true });
  }
}

/** What the server said of its tree before it stopped: the root, then the hidden directory. */
export function fixtureAnswers(fixture: string): ApiNode[] {
  const listed = JSON.parse(gunzipSync(readFileSync(join(DATA, `${fixture}.tree.json.gz`))).toString()) as { node: ApiNode };
  const hidden = JSON.parse(readFileSync(join(DATA, `${fixture}.hidden.json`)).toString()) as { node: ApiNode };
  return [listed.node, hidden.node];
}

/** The same as a line per node (`nodeLine`), by path. */
export function fixtureTruth(fixture: string): Map<string, string> {
  return fixtureAnswers(fixture).reduce((lines, node) => apiLines(node, lines), new Map<string, string>());
}

/** The X-Etcd-Index it answered with. */
export function fixtureIndex(fixture: string): bigint {
  const headers = readFileSync(join(DATA, `${fixture}.headers.txt`)).toString();
  return BigInt(/X-Etcd-Index: (\d+)/.exec(headers)?.[1] ?? '0');
}
