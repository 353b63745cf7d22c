import { FerryError } from '../errors.js';
import type { ResponseHeader } from '../wire/rpc.js';

/** The newest revisions that answers had told before a request was sent. */
export interface Told {
  readonly newest: bigint;
  readonly byMember: ReadonlyMap<bigint, bigint>;
}

/** The header of an answer, and what is needed to judge it. */
export interface HeaderSeen {
  readonly header: ResponseHeader;
  /** The endpoint that answered, as the user wrote it. */
  readonly address: string;
  /** What `told` was when the request was sent. */
  readonly before: Told;
  /**
   * Whether the members agree on the answer (a linearizable read, a write): its revision is then none
   * of the past. What one member answers by itself may be behind what another one told.
   */
  readonly agreed: boolean;
}

/**
 * Asks for the ids of the members; undefined where the list may not be read.
 *
 * @param again the list told before did not have the member that answers
 */
export type ListMembers = (again: boolean) => Promise<readonly bigint[] | undefined>;

/** A cluster has a handful of members; more are not remembered. */
const MOST_MEMBERS = 64;

/**
 * Holds every answer against those before it, so that no run reads or writes half of one cluster and
 * half of another: a second endpoint may be another cluster's, and so may whatever answers at the
 * same address after a restart.
 *
 * kine has no ids, and puts the revision asked for into the header of a read at a revision
 * (k3s-io/kine pkg/logstructured, List), so where the cluster's id is 0 revisions are not compared.
 */
export class ClusterIdentity {
  #first: { readonly clusterId: bigint; readonly address: string } | undefined;
  #last: ResponseHeader | undefined;
  #listing: Promise<void> | undefined;
  #members: ReadonlySet<bigint> = new Set();
  #newest = 0n;
  readonly #byMember = new Map<bigint, bigint>();
  readonly #counter: 'revision' | 'index';

  /** @param counter what the API calls its count of changes */
  constructor(counter: 'revision' | 'index' = 'revision') {
    this.#counter = counter;
  }

  /** The ids that answers told, and the newest revision; undefined before the first answer. */
  get known(): ResponseHeader | undefined {
    return this.#last === undefined ? undefined : { ...this.#last, revision: this.#newest };
  }

  get told(): Told {
    return { newest: this.#newest, byMember: new Map(this.#byMember) };
  }

  /**
   * Takes an answer for one of the cluster that answered first.
   *
   * @param list left out where the member is not to be looked for
   * @throws FerryError `other-cluster` when it cannot be
   */
  async accept(answer: HeaderSeen, list?: ListMembers): Promise<void> {
    const { header, address } = answer;
    this.#first ??= { clusterId: header.clusterId, address };
    if (header.clusterId !== this.#first.clusterId) throw this.#otherId(answer);
    this.#checkRevision(answer);
    if (list !== undefined && !(await this.#isMember(header.memberId, list))) {
      throw otherCluster(`${address}: member ${hex(header.memberId)} answers, and the cluster has no such member`);
    }
    this.#remember(header);
  }

  #checkRevision({ header: { clusterId, memberId, revision }, address, before, agreed }: HeaderSeen): void {
    // An answer about members tells no revision.
    if (clusterId === 0n || revision === 0n) return;
    const floor = agreed ? before.newest : (before.byMember.get(memberId) ?? 0n);
    if (revision >= floor) return;
    const now = `${address}: the ${this.#counter} is ${revision}, and was ${floor} before`;
    throw otherCluster(`${now}: this is not the cluster that was asked first`);
  }

  async #isMember(id: bigint, list: ListMembers): Promise<boolean> {
    if (id === 0n) return true;
    const ask = async (again: boolean): Promise<void> => {
      this.#members = new Set(await list(again));
    };
    this.#listing ??= ask(false);
    await this.#listing;
    // It may have been added meanwhile.
    if (!this.#isListed(id)) await ask(true);
    return this.#isListed(id);
  }

  /** True also where there is no list to look into. */
  #isListed(id: bigint): boolean {
    return this.#members.size === 0 || this.#members.has(id);
  }

  #remember(header: ResponseHeader): void {
    const { memberId, revision } = header;
    this.#last = header;
    if (revision > this.#newest) this.#newest = revision;
    const known = this.#byMember.get(memberId);
    if (known === undefined ? this.#byMember.size < MOST_MEMBERS : revision > known) this.#byMember.set(memberId, revision);
  }

  #otherId({ header, address }: HeaderSeen): FerryError {
    const first = this.#first as { readonly clusterId: bigint; readonly address: string };
    const now = `${address} answers for cluster ${hex(header.clusterId)}`;
    const before = `cluster ${hex(first.clusterId)}`;
    if (first.address === address) return otherCluster(`${now}, and answered for ${before} before`);
    return otherCluster(`the endpoints belong to different clusters: ${now}, ${first.address} for ${before}`);
  }
}

function otherCluster(message: string): FerryError {
  return new FerryError('other-cluster', message, { hint: 'Name endpoints of one cluster only, and see what answers at each of them.' });
}

function hex(id: bigint): string {
  return id.toString(16);
}
