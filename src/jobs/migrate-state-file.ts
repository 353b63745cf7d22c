import { FerryError } from '../errors.js';
import { RevisionSet } from '../model/revision-set.js';

/** First line of a state file: what work it belongs to. */
export interface StateHeader {
  readonly schema: 'etcdferry.migrate-state/v1';
  /** Cluster id of the source in hex, or what stands for it. */
  readonly source: string;
  /** Cluster id of the target in hex. */
  readonly target: string;
  /** Digest of what chooses and renames keys. */
  readonly work: string;
}

/** A transaction that was sent, and of which no outcome is known. */
export interface Doubt {
  /** The lowest and the highest of its keys. */
  readonly first: Buffer;
  readonly last: Buffer;
  /** Of its keys and values, in the order of keys. */
  readonly digest: string;
  /** The target's revision when that run began: the transaction's own is above it. */
  readonly above: bigint;
}

/** A key and the revision that a transaction of the work gave it: proof that the target is the same one. */
export interface Witness {
  readonly key: Buffer;
  readonly revision: bigint;
}

/** All that a state file says. */
export interface StateContents {
  readonly header: StateHeader;
  readonly revisions: RevisionSet;
  readonly leases: ReadonlySet<bigint>;
  readonly doubts: readonly Doubt[];
  readonly witnesses: readonly Witness[];
  /** Index of the source that the last run that ended read it at; 0n when none has. */
  readonly sourceIndex: bigint;
}

/** The lines of a state file, but for the header. `n` numbers the transactions of a run. */
export const stateLine = {
  run: (targetRevision: bigint): string => `run ${targetRevision}\n`,
  sent: (n: number, digest: string, first: Buffer, last: Buffer): string => `sent ${n} ${digest} ${base64(first)} ${base64(last)}\n`,
  wrote: (n: number, revision: bigint): string => `wrote ${n} ${revision}\n`,
  failed: (n: number): string => `failed ${n}\n`,
  lease: (id: bigint): string => `lease ${id}\n`,
  noLease: (id: bigint): string => `no-lease ${id}\n`,
  ours: (first: bigint, last: bigint): string => `ours ${first} ${last}\n`,
  witness: ({ key, revision }: Witness): string => `witness ${revision} ${base64(key)}\n`,
  source: (index: bigint): string => `source ${index}\n`,
};

/** A header as the file has it. */
export function headerLine(header: StateHeader): string {
  return `${JSON.stringify(header)}\n`;
}

/**
 * Reads a state file. A last line that is cut short, as a kill leaves it, is passed over.
 *
 * @param name the file's, for messages
 * @throws FerryError `damaged` when it is no state file, `unknown-format` for one of another version
 */
export function parseState(text: string, name: string): StateContents {
  const lines = text.split('\n');
  lines.pop();
  const header = parseHeader(lines.shift() ?? '', name);
  const reader = new StateReader();
  for (const [i, line] of lines.entries()) {
    if (!reader.take(line.split(' '))) {
      throw new FerryError('damaged', `${name}: line ${i + 2} is not one of a migration's state: ${JSON.stringify(line.slice(0, 60))}`, {
        hint: 'Remove the file to start without it: keys that are in the target then count as not ours.',
      });
    }
  }
  return { header, ...reader.contents() };
}

class StateReader {
  readonly #revisions = new RevisionSet();
  readonly #leases = new Set<bigint>();
  readonly #sent = new Map<string, Doubt>();
  readonly #doubts: Doubt[] = [];
  readonly #witnesses: Witness[] = [];
  #above = 0n;
  #sourceIndex = 0n;

  /** @returns false for a line that makes no sense */
  take([word, ...rest]: string[]): boolean {
    try {
      return this.#take(word ?? '', rest);
    } catch (thrown) {
      if (thrown instanceof SyntaxError) return false;
      throw thrown;
    }
  }

  contents(): Omit<StateContents, 'header'> {
    const doubts = [...this.#doubts, ...this.#sent.values()];
    const [revisions, leases, witnesses] = [this.#revisions, this.#leases, this.#witnesses];
    return { revisions, leases, doubts, witnesses, sourceIndex: this.#sourceIndex };
  }

  #take(word: string, rest: readonly string[]): boolean {
    const [a = '', b = '', c = '', d = ''] = rest;
    switch (word) {
      case 'run':
        this.#begin(BigInt(a));
        return rest.length === 1;
      case 'sent':
        this.#sent.set(a, { digest: b, first: Buffer.from(c, 'base64'), last: Buffer.from(d, 'base64'), above: this.#above });
        return rest.length === 4;
      case 'wrote':
        return this.#wrote(a, BigInt(b));
      case 'failed':
        return this.#sent.delete(a);
      case 'lease':
        this.#leases.add(BigInt(a));
        return rest.length === 1;
      case 'no-lease':
        this.#leases.delete(BigInt(a));
        return rest.length === 1;
      case 'ours':
        this.#revisions.add(BigInt(a), BigInt(b));
        return rest.length === 2;
      case 'witness':
        this.#witnesses.push({ revision: BigInt(a), key: Buffer.from(b, 'base64') });
        return rest.length === 2;
      case 'source':
        this.#sourceIndex = BigInt(a);
        return rest.length === 1;
      default:
        return false;
    }
  }

  /** A run's numbers begin anew; what an earlier one left open stays in doubt. */
  #begin(targetRevision: bigint): void {
    this.#doubts.push(...this.#sent.values());
    this.#sent.clear();
    this.#above = targetRevision;
  }

  #wrote(n: string, revision: bigint): boolean {
    const sent = this.#sent.get(n);
    if (sent === undefined) return false;
    this.#sent.delete(n);
    this.#revisions.add(revision);
    this.#witnesses.push({ key: sent.first, revision });
    return true;
  }
}

function parseHeader(line: string, name: string): StateHeader {
  let header: Partial<Record<keyof StateHeader, unknown>>;
  try {
    header = (JSON.parse(line) ?? {}) as typeof header;
  } catch (thrown) {
    throw new FerryError('damaged', `${name} is not the state of a migration`, { hint: 'Name another file with --state.', cause: thrown });
  }
  const { schema, source, target, work } = header;
  if (typeof schema === 'string' && /^etcdferry\.migrate-state\/v(?!1$)/.test(schema)) {
    throw new FerryError('unknown-format', `${name} is of a later version (${schema})`, { hint: 'Use the release that wrote it.' });
  }
  if (schema !== 'etcdferry.migrate-state/v1' || typeof source !== 'string' || typeof target !== 'string' || typeof work !== 'string') {
    throw new FerryError('damaged', `${name} is not the state of a migration`, { hint: 'Name another file with --state.' });
  }
  return { schema, source, target, work };
}

function base64(bytes: Buffer): string {
  return bytes.toString('base64');
}
