import type { MessagePlan } from '../schema/plan.js';
import type { Kind } from '../schema/schema.js';
import { JsonOutput } from './json-output.js';
import { MISFIT } from './misfit.js';
import { MessageReader } from './read.js';

/** One output and one reader for all calls: decoding never waits, so calls never overlap. */
const output = new JsonOutput();
const reader = new MessageReader(output);

/** An object's JSON, and the index into GENERATIONS of the release it was read as. */
export interface ExactJson {
  readonly json: Buffer;
  readonly generation: number;
}

/**
 * Reads a message as the newest Kubernetes release reads it that could have written it.
 *
 * @returns undefined when no release would have written these bytes
 * @throws FerryError `damaged` when it does not parse
 */
export function decodeExactly(kind: Kind, bytes: Buffer, start: number, end: number): ExactJson | undefined {
  // Most values fit one of the first few tried; what fits none is tried with all, shortcuts left out.
  return tryGenerations(kind, bytes, start, end, true) ?? tryGenerations(kind, bytes, start, end, false);
}

function tryGenerations(kind: Kind, bytes: Buffer, start: number, end: number, skipAlike: boolean): ExactJson | undefined {
  // Where a message did not fit, no generation with the very same message need be tried.
  let excluded = 0;
  let fallback: ExactJson | undefined;
  for (let generation = 0; generation < kind.plans.length; generation++) {
    const plan = kind.plans[generation];
    if (plan === undefined || (excluded & (1 << generation)) !== 0) continue;
    const json = decodeAs(kind, plan, bytes, start, end);
    if (json === undefined) excluded |= skipAlike ? (reader.misfit?.generations ?? 0) : 0;
    // `null` in JSON, or a field that the writer did not know yet? A release without it speaks for the latter.
    else if (reader.doubtful) fallback ??= { json, generation };
    else return { json, generation };
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
