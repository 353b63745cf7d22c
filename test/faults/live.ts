import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { EtcdBinaries } from '../support/etcd.js';
import { EtcdServer } from '../support/etcd.js';
import { load } from '../support/load.js';
import { expectClear, Unexpected } from './outcome.js';
import { type FaultRun, faultRun } from './run.js';

/** Keys that a live source holds, and the bytes of each value: enough for several pages and many transactions. */
export const KEYS = 3_000;
const VALUE = 1_500;

/** What stands behind every live case: a folder, an archive of the source, and its content digest. */
export interface LiveGround {
  readonly work: string;
  readonly etcd: EtcdBinaries;
  readonly source: EtcdServer;
  /** A whole backup of the source. */
  readonly archive: string;
  readonly values: string;
}

/** A source with keys in it, and a backup of it made in peace. */
export async function liveGround(work: string, etcd: EtcdBinaries): Promise<LiveGround> {
  const source = await EtcdServer.start(etcd);
  const noise = (i: number): Buffer => Buffer.from(Array.from({ length: VALUE }, (_, j) => Math.imul(i * VALUE + j, 2654435761) >>> 24));
  await load(
    source.endpoint,
    Array.from({ length: KEYS }, (_, i) => ({ key: Buffer.from(`/k/${String(i).padStart(5, '0')}`), value: noise(i) })),
  );
  const archive = join(work, `whole-${etcd.version}.tar`);
  const made = await faultRun(['backup', '--from', source.endpoint, '--to', archive, '--json']);
  if (made.exit !== 0) throw new Error(made.stderr);
  return { work, etcd, source, archive, values: digestOf(made) };
}

/** The digest of keys and values in an archive, by what `--json` said. */
export function digestOf(run: FaultRun): string {
  return (JSON.parse(run.stdout.toString()) as { archive: { digests: { values: string } } }).archive.digests.values;
}

/** Which of a key space are in an archive, by what `backup --json` said. */
export function recordsOf(run: FaultRun): number {
  return (JSON.parse(run.stdout.toString()) as { archive: { records: number } }).archive.records;
}

let count = 0;

/** A path for one case's archive. */
export function caseFile(ground: Pick<LiveGround, 'work'>, ending = 'tar'): string {
  return join(ground.work, `case-${count++}.${ending}`);
}

/**
 * What every backup must keep to: it is whole and holds what the source holds, or it is not there at all.
 *
 * @returns how it ended, in words
 */
export async function expectWholeOrNothing(
  ground: Pick<LiveGround, 'work' | 'values'>,
  run: FaultRun,
  target: string,
  exits: readonly number[],
  what: string,
): Promise<string> {
  const took = `${Math.round(run.milliseconds)} ms`;
  expectClear(run, exits, `${what} (${took})`);
  const left = readdirSync(ground.work).filter((name) => name.includes(target.slice(ground.work.length + 1).replace(/\.\w+$/, '')));
  if (run.exit !== 0) {
    if (left.length > 0) throw new Unexpected(`${what}: ${left.join(', ')} left behind`);
    return `failed in words (${run.exit}), nothing left`;
  }
  const proof = await faultRun(['verify', target]);
  if (proof.exit !== 0) throw new Unexpected(`${what}: exit 0, yet verify says ${proof.stdout.toString()}`);
  if (digestOf(run) !== ground.values) throw new Unexpected(`${what}: exit 0, but the archive's values are not the source's`);
  rmSync(target);
  return 'whole (0)';
}

/** @throws Unexpected where a target does not hold exactly what the source holds */
export async function expectSameAsSource(ground: LiveGround, endpoint: string, what: string): Promise<void> {
  const target = caseFile(ground);
  const run = await faultRun(['backup', '--from', endpoint, '--to', target, '--json']);
  if (run.exit !== 0) throw new Unexpected(`${what}: the target cannot be read: ${run.stderr}`);
  rmSync(target);
  if (digestOf(run) !== ground.values) throw new Unexpected(`${what}: the target does not hold what the source holds`);
}

/** Restores the archive, whatever was there of it before, and compares. */
export async function finish(ground: LiveGround, endpoint: string, what: string): Promise<void> {
  const again = await faultRun(['restore', '--from', ground.archive, '--to', endpoint]);
  expectClear(again, [0], `${what}, run again`);
  await expectSameAsSource(ground, endpoint, what);
}
