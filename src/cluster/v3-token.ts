import { Metadata } from '@grpc/grpc-js';
import { unlessAborted } from '../model/run.js';
import type { ClusterIdentity } from './identity.js';
import type { ClusterOptions } from './options.js';
import type { CallLimits, Endpoint } from './v3-endpoint.js';
import { reasonOf } from './v3-errors.js';
import { headerIn, typed } from './v3-messages.js';

/**
 * The auth token of a user: fetched when first needed, shared by all calls, fetched again when the
 * server no longer takes it (simple tokens last five minutes, and go when the server restarts).
 *
 * A user given to a cluster without authentication is not an error, as in etcd's own client
 * (client/v3/client.go, getToken): calls are then made without a token.
 */
export class TokenKeeper {
  /** Whether the cluster has authentication on, as far as the user's login told. */
  enabled: boolean | undefined;
  readonly #user: { readonly name: string; readonly password: string } | undefined;
  readonly #timeout: number;
  readonly #identity: ClusterIdentity;
  #fetching: Promise<string | undefined> | undefined;
  #token: string | undefined;

  /** @param identity what the answers to logins are held against */
  constructor({ user, password, commandTimeout }: ClusterOptions, identity: ClusterIdentity) {
    this.#identity = identity;
    this.#user = user === undefined ? undefined : { name: user, password: password ?? '' };
    this.#timeout = commandTimeout;
  }

  /** The token, undefined without a user or where authentication is off. */
  async token(endpoint: Endpoint, signal: AbortSignal | undefined): Promise<string | undefined> {
    if (this.#user === undefined || this.enabled === false) return undefined;
    if (this.#token !== undefined) return this.#token;
    signal?.throwIfAborted();
    // The request is not bound to one caller's signal: others wait for the same answer.
    this.#fetching ??= this.#fetch(endpoint, { timeout: this.#timeout, signal: undefined }).finally(() => {
      this.#fetching = undefined;
    });
    return unlessAborted(this.#fetching, signal);
  }

  /** Drops a token that was refused, unless another call has already replaced it. */
  forget(token: string): void {
    if (this.#token === token) this.#token = undefined;
  }

  metadata(token: string | undefined): Metadata {
    const metadata = new Metadata();
    if (token !== undefined) metadata.set('token', token);
    return metadata;
  }

  async #fetch(endpoint: Endpoint, limits: CallLimits): Promise<string | undefined> {
    const client = endpoint.client('Auth');
    try {
      const before = this.#identity.told;
      const answer = await endpoint.unary(typed('authenticate', { ...this.#user }), client, new Metadata(), limits);
      const header = headerIn(answer);
      if (header !== undefined) await this.#identity.accept({ header, address: endpoint.address, before, agreed: false });
      this.enabled = true;
      this.#token = answer.token;
    } catch (thrown) {
      if (reasonOf(thrown) !== 'auth-not-enabled') throw thrown;
      this.enabled = false;
    }
    return this.#token;
  }
}
