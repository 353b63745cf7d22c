import type { MessagePlan } from '../schema/plan.js';
import type { Kind } from '../schema/schema.js';
import { JsonOutput } from './json-output.js';
import { MISFIT } from './misfit.js';
import { MessageReader } from './read.js';
import { skipValueAt, varint32At, varintEnd, wereShortest } from './varint-at.js';

/** One output and one reader for all calls: decoding never waits, so calls never overlap. */
const output = new JsonOutput();
const reader = new MessageReader(output);

/** An object's JSON, and the release it was read as. */
export interface ExactJson {
  readonly json: Buffer;
  /** Index into GENERATIONS; undefined when the JSON does not tell the bytes, since some of its text was not UTF-8. */
  readonly generation: number | undefined;
}

/**
 * Reads a message as the newest Kubernetes release reads it that could have written it.
 *
 * @returns undefined when no release would have written these bytes
 * @throws FerryError `damaged` when it does not parse
 */
export function decodeExactly(kind: Kind, bytes: Buffer, start: number, end: number): ExactJson | undefined {
  // Most values fit one of the first few tried; what fits none is tried with all, shortcuts left out.
  const found = tryGenerations(kind, bytes, start, end, true);
  return found ?? (end - start > LARGE ? undefined : tryGenerations(kind, bytes, start, end, false));
}

/** Values past etcd's usual limit by far are not tried over and over: whoever made them may want just that. */
const LARGE = 4 * 1024 * 1024;

function tryGenerations(kind: Kind, bytes: Buffer, start: number, end: number, skipAlike: boolean): ExactJson | undefined {
  // Where a message did not fit, no generation with the very same message need be tried.
  let excluded = skipAlike ? excludedByHead(kind, bytes, start, end) : 0;
  let fallback: ExactJson | undefined;
  for (let generation = 0; generation < kind.plans.length; generation++) {
    const plan = kind.plans[generation];
    if (plan === undefined || (excluded & (1 << generation)) !== 0) continue;
    wereShortest();
    const json = decodeAs(kind, plan, bytes, start, end);
    // No release writes a number longer than it has to be.
    if (json !== undefined && !wereShortest()) return undefined;
    if (json === undefined) {
      excluded |= skipAlike ? (reader.misfit?.generations ?? 0) : 0;
      if (reader.misfit === undefined && end - start > LARGE) break;
      continue;
    }
    const exact = { json, generation: output.replaced ? undefined : generation };
    if (!reader.doubtful) return exact;
    // `null` in JSON, or a field that the writer did not know yet? A release without it speaks for the latter.
    fallback ??= exact;
  }
  return fallback;
}

/**
 * Reads a message with one plan of the kind.
 *
 * @returns the object's JSON; undefined when the plan's release would not have written these bytes
 * @throws FerryError `damaged` when it does not parse
 */
export function decodeAs(kind: Kind, plan: MessagePlan, bytes: Buffer, start: number, end: number): Buffer | undefined {
  output.reset();
  output.copy(kind.opening, 0, kind.opening.length);
  try {
    reader.root(plan, bytes, start, end);
  } catch (thrown) {
    if (thrown !== MISFIT) throw thrown;
    return undefined;
  }
  output.close(0x7d);
  return output.take();
}

/** A look at the fields of the first message alone: it tells most generations apart, and costs little. */
function excludedByHead(kind: Kind, bytes: Buffer, start: number, end: number): number {
  if (kind.heads.length === 0 || bytes[start] !== 0x0a || start >= end) return 0;
  const length = varint32At(bytes, start + 1, end);
  let at = varintEnd;
  const headEnd = at + length;
  if (headEnd > end) return 0;
  let present = 0;
  while (at < headEnd) {
    const tag = varint32At(bytes, at, headEnd);
    if (tag >>> 3 > 30) return 0;
    present |= 1 << (tag >>> 3);
    at = skipValueAt(bytes, varintEnd, headEnd, tag & 7);
  }
  let excluded = 0;
  for (const { generations, known, always } of kind.heads)
    if ((present & ~known) !== 0 || (always & ~present) !== 0) excluded |= generations;
  return excluded;
}
