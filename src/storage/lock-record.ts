import type { ProcessOwner } from '../sort/process-owner.js';

const SCHEMA = 'etcdferry.lock/v1';

/**
 * What a run needs a repository for. `shared`: to write archives of one NAME, beside runs that write
 * others. `exclusive`: alone.
 */
export type LockRequest = { readonly kind: 'shared'; readonly name: string } | { readonly kind: 'exclusive' };

/** A lock as it is stored: `.etcdferry/locks/ID.json`. */
export interface LockRecord {
  readonly id: string;
  readonly request: LockRequest;
  /** What the run does, for people: `backup`, `prune`. */
  readonly doing: string;
  readonly owner: ProcessOwner;
  /** When it was asked for, by its owner's clock, in milliseconds since the Unix epoch. */
  readonly since: number;
  /** False until its owner has made sure that nobody is in the way. */
  readonly held: boolean;
}

/** True when two locks cannot be held at once. */
export function isInTheWay(a: LockRequest, b: LockRequest): boolean {
  return a.kind === 'exclusive' || b.kind === 'exclusive' || a.name === b.name;
}

/** Writes a lock. */
export function encodeLock({ id, request, doing, owner, since, held }: LockRecord): Buffer {
  const json = { schema: SCHEMA, id, ...request, doing, ...owner, since: new Date(since).toISOString(), held };
  return Buffer.from(`${JSON.stringify(json, null, 2)}\n`);
}

/** Reads a lock; what is none that this release knows counts as an exclusive one of an unknown owner. */
export function parseLock(bytes: Buffer, id: string, modifiedAt: number): LockRecord {
  const json = asJson(bytes);
  const text = (name: string): string => (typeof json[name] === 'string' ? json[name] : '');
  const known = json.schema === SCHEMA;
  const shared = known && json.kind === 'shared' && text('name') !== '';
  const since = Date.parse(text('since'));
  return {
    id,
    request: shared ? { kind: 'shared', name: text('name') } : { kind: 'exclusive' },
    doing: text('doing') || 'another run',
    owner: {
      host: text('host'),
      space: text('space'),
      pid: Number.isSafeInteger(json.pid) ? (json.pid as number) : 0,
      started: text('started'),
    },
    since: Number.isNaN(since) ? modifiedAt : since,
    held: !known || json.held === true,
  };
}

function asJson(bytes: Buffer): Readonly<Record<string, unknown>> {
  try {
    const json: unknown = JSON.parse(bytes.toString());
    return typeof json === 'object' && json !== null ? (json as Readonly<Record<string, unknown>>) : {};
  } catch {
    return {};
  }
}
