import type { Client, Metadata } from '@grpc/grpc-js';
import { FerryError } from '../errors.js';
import { pause } from '../model/run.js';
import { headerOf, memberIdsIn, type ResponseHeader, statusErrorsIn } from '../wire/rpc.js';
import { ClusterIdentity } from './identity.js';
import type { ClusterOptions } from './options.js';
import { Endpoint, isTransient, type Service, type StartCall } from './v3-endpoint.js';
import { failureOf, outcomeUnknown, reasonOf } from './v3-errors.js';
import { headerIn, raw } from './v3-messages.js';
import { CORRUPT, corruptMember, isCorrupt } from './v3-status.js';
import { TokenKeeper } from './v3-token.js';

/** How long a failed endpoint is passed over while another one works, in milliseconds. */
const DEAD_FOR = 10_000;
const FIRST_PAUSE = 100;

export interface CallSettings {
  readonly signal?: AbortSignal | undefined;
  /** Largest answer, in bytes. */
  readonly receiveBytes?: number;
  /** Whether carrying it out twice does no harm; if not, a lost answer is an error. */
  readonly repeatable: boolean;
  /** Whether the members agree on the answer; see HeaderSeen. */
  readonly agreed?: boolean;
}

/** A member that one endpoint leads to, connected and known to be of the cluster. */
export interface Member {
  readonly endpoint: Endpoint;
  readonly client: Client;
  readonly metadata: Metadata;
}

/** What one call has met so far. */
interface Round {
  readonly failed: Set<Endpoint>;
  /** When the trouble began, in milliseconds since the epoch: the dial timeout counts from there. */
  since: number | undefined;
  /** Whether the request itself has gone out in this try. */
  sent: boolean;
  pause: number;
  token: string | undefined;
  renewed: boolean;
}

const STATUS = raw('/etcdserverpb.Maintenance/Status', Buffer.alloc(0));
const LIST_MEMBERS = raw('/etcdserverpb.Cluster/MemberList', Buffer.alloc(0));
/** MemberListRequest with `linearizable`; 3.4 does not know it and answers all the same. */
const LIST_AGREED = raw('/etcdserverpb.Cluster/MemberList', Buffer.from([0x08, 0x01]));
/**
 * Calls whose answers tell whose cluster it is, and that do no harm: the first one that the user may
 * make serves. `Status` is for root alone in some releases (etcd server/etcdserver/api/v3rpc/maintenance.go
 * of 3.4.42, 3.5.28 and 3.6.0 on); a lease that nobody has may be asked for by all who are logged in.
 */
const PROBES: readonly StartCall<Buffer>[] = [STATUS, raw('/etcdserverpb.Lease/LeaseTimeToLive', Buffer.from([0x08, 0x01])), LIST_MEMBERS];
/** A list of members that is larger is none. */
const LARGEST_MEMBER_LIST = 1 << 20;

/** Makes calls on whichever endpoint works, with the auth token they need, and lets only one cluster answer. */
export class Failover {
  readonly #endpoints: readonly Endpoint[];
  readonly #options: ClusterOptions;
  /** Ends every call that has no signal of its own. */
  readonly signal: AbortSignal | undefined;
  readonly #tokens: TokenKeeper;
  readonly #identity = new ClusterIdentity();
  #current: Endpoint;
  #answered = false;
  #sawCorrupt = false;
  /** Whether a corrupt member may answer. */
  #tolerant = false;
  #doubt: string | undefined;

  constructor(options: ClusterOptions, signal?: AbortSignal) {
    this.#endpoints = options.endpoints.map((address) => new Endpoint(address, options.tls));
    const [first] = this.#endpoints;
    if (first === undefined) throw new FerryError('usage', 'no endpoint was given');
    const schemes = new Set(options.endpoints.map((address) => address.startsWith('https:')));
    if (schemes.size > 1) throw new FerryError('usage', 'http:// and https:// endpoints cannot be mixed');
    this.#current = first;
    this.#options = options;
    this.signal = signal;
    this.#tokens = new TokenKeeper(options, this.#identity);
  }

  get authEnabled(): boolean | undefined {
    return this.#tokens.enabled;
  }

  /** The cluster's ids and newest revision, as answers told them so far. */
  get known(): ResponseHeader | undefined {
    return this.#identity.known;
  }

  /** What speaks against a member that has answered all the same. */
  get doubt(): string | undefined {
    return this.#doubt;
  }

  get allowStale(): boolean {
    return this.#options.allowStale === true;
  }

  /** The address of the endpoint that is asked next. */
  get address(): string {
    return this.#current.address;
  }

  /**
   * Makes a unary call. A failed endpoint is passed over for a while and, if the call is repeatable
   * or was certainly not carried out, the next one is asked; when all have failed, they are asked
   * again until the dial timeout has passed since the first failure. A token that has expired is
   * renewed once. Nothing is asked over a connection before it is known to lead to the cluster.
   *
   * @throws FerryError see V3Cluster; with reason `outcome-unknown` when a call that is not
   *   repeatable was sent and no answer came
   */
  async unary<T>(service: Service, start: StartCall<T>, settings: CallSettings): Promise<T> {
    return this.#onAny(service, settings, (member, own) => this.ask(member, start, own));
  }

  /**
   * Connects to the first endpoint that can be used.
   *
   * @throws FerryError as `unary` does
   */
  async connect(signal: AbortSignal | undefined): Promise<void> {
    const settings = { signal, repeatable: true };
    try {
      await this.#onAny('KV', settings, async () => {});
    } catch (thrown) {
      if (!this.allowStale || !this.#sawCorrupt) throw thrown;
      this.#tolerant = true;
      await this.#onAny('KV', settings, async () => {});
    }
    this.#answered = true;
  }

  /**
   * Takes note of whether a member is corrupt, as it says itself.
   *
   * @throws FerryError `not-up-to-date` when it is and such a member may not answer
   */
  judge(address: string, corrupt: boolean): void {
    if (!corrupt) return;
    this.#sawCorrupt = true;
    if (!this.#tolerant) throw corruptMember(address);
    this.#doubt = CORRUPT;
  }

  /** Every endpoint, the one that worked last before the others. */
  get endpoints(): readonly Endpoint[] {
    return [this.#current, ...this.#endpoints.filter((endpoint) => endpoint !== this.#current)];
  }

  /**
   * Connects to one endpoint and no other, and makes sure that it is of the cluster.
   *
   * @throws FerryError as `unary` does
   */
  async reach(endpoint: Endpoint, service: Service, signal: AbortSignal | undefined): Promise<Member> {
    const round = newRound();
    for (;;) {
      try {
        return await this.#reach(endpoint, service, { signal: signal ?? this.signal }, round);
      } catch (thrown) {
        if (!this.#renews(thrown, round)) throw thrown;
      }
    }
  }

  /** Makes one call to one member, and holds its answer against the cluster's identity. */
  async ask<T>(
    { endpoint, client, metadata }: Member,
    start: StartCall<T>,
    { signal, agreed = false }: Pick<CallSettings, 'signal' | 'agreed'>,
  ): Promise<T> {
    const before = this.#identity.told;
    const timeout = this.#options.commandTimeout;
    const answer = await endpoint.unary(start, client, metadata, { timeout, signal: signal ?? this.signal });
    const header = headerIn(answer);
    if (header !== undefined) {
      const list = (again: boolean) => this.#listMembers({ endpoint, client, metadata }, again, signal);
      await this.#identity.accept({ header, address: endpoint.address, before, agreed }, list);
    }
    this.#answered = true;
    return answer;
  }

  close(): void {
    for (const endpoint of this.#endpoints) endpoint.close();
  }

  async #onAny<T>(service: Service, settings: CallSettings, use: (member: Member, own: CallSettings) => Promise<T>): Promise<T> {
    const round = newRound();
    const own = { ...settings, signal: settings.signal ?? this.signal };
    for (;;) {
      const endpoint = this.#next(round);
      try {
        const member = await this.#reach(endpoint, service, own, round);
        round.sent = true;
        return await use(member, own);
      } catch (thrown) {
        if (!this.#renews(thrown, round)) await this.#passOver(endpoint, thrown, round, own);
      }
    }
  }

  async #reach(endpoint: Endpoint, service: Service, settings: Omit<CallSettings, 'repeatable'>, round: Round): Promise<Member> {
    round.sent = false;
    const client = endpoint.client(service, settings.receiveBytes);
    await this.#ready(endpoint, client, settings.signal, round);
    round.token = await this.#tokens.token(endpoint, settings.signal);
    const member = { endpoint, client, metadata: this.#tokens.metadata(round.token) };
    while (!endpoint.isProven(client)) await this.#prove(member, settings.signal);
    return member;
  }

  /** Looks whose cluster answers over the client's present connection, as far as the user may ask. */
  async #prove(member: Member, signal: AbortSignal | undefined): Promise<void> {
    const { endpoint, client } = member;
    const generation = endpoint.generation(client);
    for (const probe of PROBES) {
      try {
        const answer = await this.ask(member, probe, { signal });
        if (probe === STATUS) this.judge(endpoint.address, isCorrupt(statusErrorsIn(answer), String(headerOf(answer)?.memberId)));
        break;
      } catch (thrown) {
        const reason = reasonOf(thrown);
        if (reason !== 'permission-denied' && reason !== 'not-supported') throw thrown;
      }
    }
    endpoint.prove(client, generation);
  }

  /**
   * Asks a member that is connected besides first: one that was removed lists itself.
   *
   * @param again asks for the list that the members agree on, which a member without a leader cannot give
   * @returns undefined where nobody may or can tell
   */
  async #listMembers(asking: Member, again: boolean, signal: AbortSignal | undefined): Promise<bigint[] | undefined> {
    for (const endpoint of this.#endpoints) {
      const client = endpoint === asking.endpoint ? undefined : endpoint.connectedClient();
      const ids = client === undefined ? undefined : await this.#listedBy({ ...asking, endpoint, client }, again, signal);
      if (ids !== undefined) return ids;
    }
    return this.#listedBy(asking, again, signal);
  }

  async #listedBy({ endpoint, client, metadata }: Member, again: boolean, signal: AbortSignal | undefined): Promise<bigint[] | undefined> {
    try {
      const limits = { timeout: this.#options.commandTimeout, signal: signal ?? this.signal };
      const answer = await endpoint.unary(again ? LIST_AGREED : LIST_MEMBERS, client, metadata, limits);
      return answer.length > LARGEST_MEMBER_LIST ? undefined : memberIdsIn(answer);
    } catch (thrown) {
      if (failureOf(thrown) === undefined) throw thrown;
      return undefined;
    }
  }

  /** Whether the token was refused that the call was made with: it is then fetched anew, once. */
  #renews(thrown: unknown, round: Round): boolean {
    if (failureOf(thrown)?.reason !== 'invalid-token' || round.token === undefined || round.renewed) return false;
    round.renewed = true;
    this.#tokens.forget(round.token);
    return true;
  }

  /** The endpoint that worked last; after a failure the next one in order, dead ones last. */
  #next(round: Round): Endpoint {
    const now = Date.now();
    const left = this.#endpoints.filter((endpoint) => !round.failed.has(endpoint));
    if (left.includes(this.#current) && this.#current.deadUntil < now) return this.#current;
    const next = left.find((endpoint) => endpoint.deadUntil < now) ?? left[0] ?? this.#current;
    this.#current = next;
    return next;
  }

  /** Shares what is left of the dial timeout among the endpoints that are still to be tried. */
  async #ready(endpoint: Endpoint, client: Client, signal: AbortSignal | undefined, round: Round): Promise<void> {
    if (endpoint.isReady(client)) return;
    round.since ??= Date.now();
    const left = this.#endpoints.length - round.failed.size;
    await endpoint.ready(client, { timeout: Math.max(50, this.#timeLeft(round) / Math.max(1, left)), signal });
  }

  #timeLeft({ since }: Round): number {
    return since === undefined ? this.#options.dialTimeout : since + this.#options.dialTimeout - Date.now();
  }

  /** Returns when the call may be made once more, else throws. */
  async #passOver(endpoint: Endpoint, thrown: unknown, round: Round, settings: CallSettings): Promise<void> {
    settings.signal?.throwIfAborted();
    if (!(thrown instanceof FerryError) || !isTransient(thrown)) throw thrown;
    const failure = failureOf(thrown);
    endpoint.deadUntil = Date.now() + DEAD_FOR;
    if (round.sent && !settings.repeatable && failure?.notApplied !== true) throw outcomeUnknown(thrown);
    round.failed.add(endpoint);
    round.since ??= Date.now();
    if (round.failed.size < this.#endpoints.length) return;
    // A member that restarts or an election is worth a wait; an address that never answered and a corrupt member are not.
    if (!this.#answered || thrown.code === 'not-up-to-date' || failure?.reason === 'timed-out' || round.pause >= this.#timeLeft(round))
      throw this.#allFailed(thrown);
    await pause(round.pause, settings.signal);
    round.pause *= 2;
    round.failed.clear();
  }

  #allFailed(last: FerryError): FerryError {
    if (this.#endpoints.length === 1) return last;
    const addresses = this.#endpoints.map((endpoint) => endpoint.address).join(', ');
    const hint = last.hint === undefined ? {} : { hint: last.hint };
    return new FerryError(last.code, `none of ${addresses} can be used; the last one tried said: ${last.message}`, {
      cause: last.cause,
      ...hint,
    });
  }
}

function newRound(): Round {
  return { failed: new Set(), since: undefined, sent: false, pause: FIRST_PAUSE, token: undefined, renewed: false };
}
