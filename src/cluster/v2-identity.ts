import { ClusterIdentity, type Told } from './identity.js';

/** The headers of an answer as they come. */
type Headers = Readonly<Record<string, string | string[] | undefined>>;

/** An answer by the v2 API, and what is needed to judge it. */
export interface V2Seen {
  /** Scheme, host and port that answered. */
  readonly origin: string;
  readonly status: number;
  readonly headers: Headers;
  /** What `told` was when the request was sent. */
  readonly before: Told;
  /** Whether the members agree on the answer: a read by quorum, or a write. */
  readonly agreed: boolean;
}

/** Tells nothing but whose cluster answers, whatever the user may do: no answer about keys is without the header. */
export const PROBE = '/v2/keys/_etcdferry';

/**
 * Holds the `X-Etcd-Cluster-Id` of every answer against the first one's (etcd server/etcdserver/api/v2http/client.go),
 * and `X-Etcd-Index` against those told before. Where there is no such header (etcd 2.0, `GET /version`), nothing is compared.
 */
export class V2Identity {
  readonly #identity = new ClusterIdentity('index');
  readonly #proven = new Set<string>();
  readonly #proving = new Map<string, Promise<void>>();

  get told(): Told {
    return this.#identity.told;
  }

  /** @throws FerryError `other-cluster` for an answer that is not of the cluster that answered first */
  async accept({ origin, status, headers, before, agreed }: V2Seen): Promise<void> {
    const clusterId = clusterIdIn(headers);
    if (clusterId === undefined) return;
    // A refusal to parse a request tells index 0, and others one that nothing is known of.
    const revision = agreed && status < 300 ? indexIn(headers) : 0n;
    await this.#identity.accept({ header: { clusterId, memberId: 0n, revision }, address: origin, before, agreed });
    this.#proven.add(origin);
  }

  /** Another server may answer there from now on. */
  forget(origin: string): void {
    this.#proven.delete(origin);
  }

  /**
   * Sees to it that an answer came from there since the last connection was lost.
   *
   * @param probe asks there for `PROBE`, and lets the answer be accepted
   */
  async prove(origin: string, probe: () => Promise<void>): Promise<void> {
    if (this.#proven.has(origin)) return;
    let proving = this.#proving.get(origin);
    if (proving === undefined) {
      proving = probe().finally(() => this.#proving.delete(origin));
      this.#proving.set(origin, proving);
    }
    await proving;
    // An answer without the header leaves nothing to compare.
    this.#proven.add(origin);
  }
}

/** The cluster's id, 64 bits in hex; undefined where the server does not tell it (2.0). */
export function clusterIdIn(headers: Headers): bigint | undefined {
  const id = headers['x-etcd-cluster-id'];
  return typeof id === 'string' && /^[0-9a-f]{1,16}$/i.test(id) ? BigInt(`0x${id}`) : undefined;
}

function indexIn(headers: Headers): bigint {
  const index = headers['x-etcd-index'];
  return typeof index === 'string' && /^\d{1,20}$/.test(index) ? BigInt(index) : 0n;
}
