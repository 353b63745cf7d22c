import type { Client, Metadata } from '@grpc/grpc-js';
import { FerryError } from '../errors.js';
import { pause } from '../model/run.js';
import type { ClusterOptions } from './options.js';
import { Endpoint, isTransient, type Service, type StartCall } from './v3-endpoint.js';
import { failureOf, outcomeUnknown } from './v3-errors.js';
import { typed } from './v3-messages.js';
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
}

/** What one call has met so far. */
interface Round {
  readonly failed: Set<Endpoint>;
  /** When the trouble began, in milliseconds since the epoch: the dial timeout counts from there. */
  since: number | undefined;
  /** Whether the request itself has gone out in this try. */
  sent: boolean;
  pause: number;
}

/** Makes calls on whichever endpoint works, with the auth token they need. */
export class Failover {
  readonly #endpoints: readonly Endpoint[];
  readonly #options: ClusterOptions;
  readonly #tokens: TokenKeeper;
  #current: Endpoint;
  #answered = false;

  constructor(options: ClusterOptions) {
    this.#endpoints = options.endpoints.map((address) => new Endpoint(address, options.tls));
    const [first] = this.#endpoints;
    if (first === undefined) throw new FerryError('usage', 'no endpoint was given');
    const schemes = new Set(options.endpoints.map((address) => address.startsWith('https:')));
    if (schemes.size > 1) throw new FerryError('usage', 'http:// and https:// endpoints cannot be mixed');
    this.#current = first;
    this.#options = options;
    this.#tokens = new TokenKeeper(options);
  }

  get authEnabled(): boolean | undefined {
    return this.#tokens.enabled;
  }

  /**
   * Makes a unary call. A failed endpoint is passed over for a while and, if the call is repeatable
   * or was certainly not carried out, the next one is asked; when all have failed, they are asked
   * again until the dial timeout has passed since the first failure. A token that has expired is
   * renewed once.
   *
   * @throws FerryError see V3Cluster; with reason `outcome-unknown` when a call that is not
   *   repeatable was sent and no answer came
   */
  async unary<T>(service: Service, start: StartCall<T>, settings: CallSettings): Promise<T> {
    const round: Round = { failed: new Set(), since: undefined, sent: false, pause: FIRST_PAUSE };
    let renewed = false;
    for (;;) {
      const endpoint = this.#next(round);
      let token: string | undefined;
      round.sent = false;
      try {
        const client = endpoint.client(service, settings.receiveBytes);
        await this.#ready(endpoint, client, settings.signal, round);
        token = await this.#tokens.token(endpoint, settings.signal);
        round.sent = true;
        const answer = await endpoint.unary(start, client, this.#tokens.metadata(token), {
          timeout: this.#options.commandTimeout,
          signal: settings.signal,
        });
        this.#answered = true;
        return answer;
      } catch (thrown) {
        if (failureOf(thrown)?.reason === 'invalid-token' && token !== undefined && !renewed) {
          renewed = true;
          this.#tokens.forget(token);
        } else await this.#passOver(endpoint, thrown, round, settings);
      }
    }
  }

  /** The endpoint that works, and the metadata of a call, for a stream of the Maintenance service. */
  async open(signal: AbortSignal | undefined): Promise<{ endpoint: Endpoint; client: Client; metadata: Metadata }> {
    await this.unary('Maintenance', typed('status', {}), { signal, repeatable: true });
    const endpoint = this.#current;
    const token = await this.#tokens.token(endpoint, signal);
    return { endpoint, client: endpoint.client('Maintenance'), metadata: this.#tokens.metadata(token) };
  }

  close(): void {
    for (const endpoint of this.#endpoints) endpoint.close();
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
    // A member that restarts or an election is worth a wait; an address that never answered is not.
    if (!this.#answered || failure?.reason === 'timed-out' || round.pause >= this.#timeLeft(round)) throw this.#allFailed(thrown);
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
