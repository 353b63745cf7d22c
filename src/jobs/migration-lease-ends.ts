import type { Lease } from '../model/lease.js';
import { hasVanished } from '../model/lease.js';
import type { SourceKind } from '../model/source.js';

/** Farther than this from where it should be, in seconds, a lease's end is another one. */
const FAR = 5;
/** Seconds below which a cluster may lengthen a TTL (see TargetLeases, LARGEST_MINIMUM_TTL). */
const LONGEST_MINIMUM = 75n;

/** When a lease ends, in milliseconds since the Unix epoch; without `end`, some time after it is granted or loaded. */
interface End {
  readonly end: number | undefined;
  readonly ttl: bigint;
}

/** A lease whose end is not where it should be. */
export interface StrayLease {
  readonly id: bigint;
  /** How much later it ends, in seconds; undefined when it is not there. */
  readonly seconds: number | undefined;
}

/** When the leases of keys end, as they were to be and as the target has them. */
export class LeaseEnds {
  readonly #ours: ReadonlyMap<bigint, End>;
  /** Undefined when the target does not tell. */
  readonly #theirs: ReadonlyMap<bigint, End> | undefined;
  readonly #inFile: boolean;

  private constructor(ours: ReadonlyMap<bigint, End>, theirs: ReadonlyMap<bigint, End> | undefined, inFile: boolean) {
    this.#ours = ours;
    this.#theirs = theirs;
    this.#inFile = inFile;
  }

  /**
   * @param kind of target: in a snapshot file TTLs begin when a server loads it
   * @param told whether the target tells of its leases
   */
  static async read(
    ours: AsyncIterable<readonly Lease[]>,
    theirs: AsyncIterable<readonly Lease[]>,
    target: { readonly kind: SourceKind; readonly told: boolean },
  ): Promise<LeaseEnds> {
    const endOfTheirs = ({ seenAt, remainingTtl }: Lease): number | undefined => {
      if (target.kind === 'snapshot-file') return undefined;
      // A server tells of whole seconds, the rest cut off.
      return seenAt + Number(remainingTtl) * 1000 + (target.kind === 'live' ? 500 : 0);
    };
    const wanted = await endsOf(ours, (lease) => (lease.origin === 'lease' ? undefined : lease.seenAt + Number(lease.remainingTtl) * 1000));
    return new LeaseEnds(wanted, target.told ? await endsOf(theirs, endOfTheirs) : undefined, target.kind !== 'live');
  }

  get count(): number {
    return this.#ours.size;
  }

  /** Whether keys of the lease may be gone by then. */
  isOver(id: bigint, now: number): boolean {
    const end = this.#ours.get(id)?.end;
    return end !== undefined && end <= now;
  }

  /** Whether a key may have the target's lease `theirs` where `ours` was wanted. */
  standsFor(ours: bigint, theirs: bigint): boolean {
    if (ours === 0n || theirs === 0n) return false;
    if (this.#theirs === undefined) return true;
    const seconds = this.#apart(ours, theirs);
    return seconds !== undefined && !this.#isStray(seconds, theirs);
  }

  /** Furthest that an end is from where it should be, in seconds; undefined where none can be told. */
  get furthest(): number | undefined {
    let furthest: number | undefined;
    for (const id of this.#ours.keys()) {
      const seconds = this.#apart(id, id);
      if (this.#ours.get(id)?.end === undefined || this.#theirs?.get(id)?.end === undefined || seconds === undefined) continue;
      if (furthest === undefined || Math.abs(seconds) > Math.abs(furthest)) furthest = seconds;
    }
    return furthest;
  }

  /** Leases whose end is not where it should be; those that are over by `now` may be gone. */
  strays(now: number): StrayLease[] {
    if (this.#theirs === undefined) return [];
    const strays: StrayLease[] = [];
    for (const id of this.#ours.keys()) {
      if (this.isOver(id, now)) continue;
      const seconds = this.#apart(id, id);
      // In a cluster, one may have got another id: it is looked at where a key has it.
      if (seconds === undefined ? this.#inFile : this.#isStray(seconds, id)) strays.push({ id, seconds });
    }
    return strays;
  }

  #isStray(seconds: number, theirs: bigint): boolean {
    const lengthened = seconds > 0 && (this.#theirs?.get(theirs)?.ttl ?? 0n) <= LONGEST_MINIMUM;
    return Math.abs(seconds) > FAR && !lengthened;
  }

  /** How much later theirs ends, in seconds; undefined when one is not known. */
  #apart(ours: bigint, theirs: bigint): number | undefined {
    const [wanted, found] = [this.#ours.get(ours), this.#theirs?.get(theirs)];
    if (wanted === undefined || found === undefined) return undefined;
    if (wanted.end !== undefined && found.end !== undefined) return (found.end - wanted.end) / 1000;
    // Begins anew: what counts is how long it lasts.
    return wanted.end === undefined ? Number(found.ttl - wanted.ttl) : 0;
  }
}

async function endsOf(leases: AsyncIterable<readonly Lease[]>, endOf: (lease: Lease) => number | undefined): Promise<Map<bigint, End>> {
  const ends = new Map<bigint, End>();
  for await (const some of leases) {
    for (const lease of some) if (!hasVanished(lease)) ends.set(lease.id, { end: endOf(lease), ttl: lease.grantedTtl });
  }
  return ends;
}
