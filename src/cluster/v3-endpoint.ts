import { isIP } from 'node:net';
import { checkServerIdentity, type PeerCertificate } from 'node:tls';
import {
  type CallOptions,
  type ChannelCredentials,
  type ChannelOptions,
  type Client,
  connectivityState,
  credentials,
  type Metadata,
  type ServiceError,
} from '@grpc/grpc-js';
import { Host } from 'etcd3/lib/connection-pool.js';
import { FerryError } from '../errors.js';
import { unlessAborted } from '../model/run.js';
import type { TlsOptions } from './options.js';
import { RpcFailure, rpcError } from './v3-errors.js';

/** etcd's gRPC services, as etcd3 names them. */
export type Service = 'KV' | 'Lease' | 'Auth' | 'Maintenance';

/** Starts one unary call on a connected client. */
export type StartCall<T> = (
  client: Client,
  metadata: Metadata,
  options: CallOptions,
  done: (error: ServiceError | null, answer?: T) => void,
) => { cancel(): void };

export interface CallLimits {
  /** Milliseconds. */
  readonly timeout: number;
  readonly signal: AbortSignal | undefined;
}

export const DEFAULT_RECEIVE_BYTES: number = 32 << 20;
const FLOW_CONTROL_WINDOW = 16 << 20;
const UNAVAILABLE = 14;

/** One address of the cluster: its channels, by receive limit, and whether it failed lately. */
export class Endpoint {
  /** As the user wrote it. */
  readonly address: string;
  /** Milliseconds since the epoch until which another endpoint is preferred. */
  deadUntil = 0;
  readonly #target: string;
  readonly #credentials: ChannelCredentials;
  readonly #options: ChannelOptions;
  /** grpc-js takes a receive limit by channel, not by call. The channels share their connections. */
  readonly #hosts = new Map<number, Host>();
  readonly #clients = new Map<Client, ConnectionState>();

  /** @throws FerryError `usage` when the address is no http or https URL, or the certificates are none */
  constructor(address: string, tls: TlsOptions | undefined) {
    const url = parse(address);
    const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
    this.address = address;
    this.#target = `${url.hostname}:${url.port === '' ? 2379 : url.port}`;
    this.#credentials = credentialsFor(host, url.protocol === 'https:', tls);
    this.#options = isIP(host) === 0 ? {} : { 'grpc.ssl_target_name_override': NAME_SENT_FOR_IP };
  }

  /** A client of one service; etcd3 brings the messages of all services but raw calls. */
  client(service: Service, receiveBytes: number = DEFAULT_RECEIVE_BYTES): Client {
    let host = this.#hosts.get(receiveBytes);
    if (host === undefined) {
      host = new Host(this.#target, this.#credentials, { ...channelOptions(receiveBytes), ...this.#options });
      this.#hosts.set(receiveBytes, host);
    }
    const client = host.getServiceClient(service);
    if (!this.#clients.has(client)) this.#clients.set(client, watchConnection(client));
    return client;
  }

  /** A client that is connected now; nothing is connected for it. */
  connectedClient(): Client | undefined {
    const isConnected = (client: Client): boolean => client.getChannel().getConnectivityState(false) === connectivityState.READY;
    return [...this.#clients.keys()].find(isConnected);
  }

  /** A number that is another one whenever the client may be connected to another server. */
  generation(client: Client): number {
    return this.#clients.get(client)?.generation ?? 0;
  }

  /** Whether `prove` was called for the connection that the client has now. */
  isProven(client: Client): boolean {
    const state = this.#clients.get(client);
    return state !== undefined && state.proven === state.generation;
  }

  /** Notes that the cluster's identity was seen over the connection of that generation. */
  prove(client: Client, generation: number): void {
    const state = this.#clients.get(client);
    if (state !== undefined) state.proven = generation;
  }

  isReady(client: Client): boolean {
    return client.getChannel().getConnectivityState(true) === connectivityState.READY;
  }

  /**
   * Waits until the client is connected.
   *
   * @param timeout milliseconds
   * @throws the signal's reason; FerryError `unreachable` when it is not by then, or as soon as connecting has failed
   */
  async ready(client: Client, { timeout, signal }: CallLimits): Promise<void> {
    const channel = client.getChannel();
    const deadline = Date.now() + timeout;
    let last = channel.getConnectivityState(true);
    // A channel that failed before must get a try of its own, not the old failure.
    let tried = last !== connectivityState.TRANSIENT_FAILURE;
    while (last !== connectivityState.READY) {
      signal?.throwIfAborted();
      // The failure's reason is told by a call only; this one ends at once.
      if (last === connectivityState.TRANSIENT_FAILURE && tried) return;
      const left = deadline - Date.now();
      if (left <= 0) {
        if (last === connectivityState.TRANSIENT_FAILURE) return;
        throw rpcError({ code: UNAVAILABLE, details: 'No connection established. Last error: ETIMEDOUT. Resolution note' }, this.address);
      }
      await unlessAborted(changeOf(client, last, Date.now() + Math.min(left, 200)), signal);
      last = channel.getConnectivityState(true);
      if (last === connectivityState.CONNECTING) tried = true;
    }
  }

  /** Makes one unary call; every failure is a FerryError. */
  unary<T>(start: StartCall<T>, client: Client, metadata: Metadata, limits: CallLimits): Promise<T> {
    const { signal, timeout } = limits;
    return new Promise<T>((resolve, reject) => {
      signal?.throwIfAborted();
      const call = start(client, metadata, { deadline: Date.now() + timeout }, (error, answer) => {
        signal?.removeEventListener('abort', abort);
        if (signal?.aborted) reject(signal.reason);
        else if (error !== null) reject(rpcError(error, this.address));
        else if (answer === undefined) reject(new FerryError('failed', `${this.address}: an empty answer`));
        else resolve(answer);
      });
      const abort = (): void => call.cancel();
      signal?.addEventListener('abort', abort, { once: true });
    });
  }

  close(): void {
    // Not by etcd3's Host.close(), which waits a second for a channel that is still connecting.
    for (const client of this.#clients.keys()) client.close();
  }
}

/**
 * What a certificate is checked against when the address is an IP. grpc-js would send the IP as the
 * server's name, which RFC 6066 forbids and Node warns of; so another name is sent, and the check is
 * made with the IP.
 */
const NAME_SENT_FOR_IP = 'ip-address.invalid';

function credentialsFor(host: string, secure: boolean, tls: TlsOptions = {}): ChannelCredentials {
  if (!secure) return credentials.createInsecure();
  const { ca, cert, key, insecureSkipVerify } = tls;
  const check = isIP(host) === 0 ? {} : { checkServerIdentity: (_: string, peer: PeerCertificate) => checkServerIdentity(host, peer) };
  try {
    return credentials.createSsl(ca ?? null, key ?? null, cert ?? null, { rejectUnauthorized: insecureSkipVerify !== true, ...check });
  } catch (thrown) {
    const hint = 'Give PEM files; a certificate and its key go together.';
    throw new FerryError('usage', 'the certificates or the key cannot be read', { hint, cause: thrown });
  }
}

function channelOptions(receiveBytes: number): ChannelOptions {
  return {
    'grpc.max_receive_message_length': receiveBytes,
    'grpc-node.flow_control_window': FLOW_CONTROL_WINDOW,
    'grpc.keepalive_time_ms': 30_000,
    'grpc.keepalive_timeout_ms': 10_000,
    'grpc.initial_reconnect_backoff_ms': 200,
    'grpc.max_reconnect_backoff_ms': 2_000,
    // Whether a call is repeated is decided here, never by the library.
    'grpc.enable_retries': 0,
    'grpc.service_config_disable_resolution': 1,
  };
}

function parse(address: string): URL {
  const url = URL.canParse(address) ? new URL(address) : undefined;
  if (url === undefined || (url.protocol !== 'http:' && url.protocol !== 'https:') || url.hostname === '') {
    throw new FerryError('usage', `${address} is not an http:// or https:// address`, { hint: 'Write it like https://10.0.0.1:2379.' });
  }
  return url;
}

interface ConnectionState {
  generation: number;
  /** The generation over which the cluster's identity was seen. */
  proven: number;
}

/** Counts the client's changes of state: after each it may be connected to another server. */
function watchConnection(client: Client): ConnectionState {
  const state: ConnectionState = { generation: 0, proven: -1 };
  const channel = client.getChannel();
  const watch = (): void => {
    const now = channel.getConnectivityState(false);
    if (now === connectivityState.SHUTDOWN) return;
    channel.watchConnectivityState(now, Number.POSITIVE_INFINITY, () => {
      state.generation++;
      watch();
    });
  };
  watch();
  return state;
}

function changeOf(client: Client, from: connectivityState, deadline: number): Promise<void> {
  return new Promise((resolve) => client.getChannel().watchConnectivityState(from, deadline, () => resolve()));
}

/** Whether the failure lies with the endpoint, so that another may do better. */
export function isTransient(thrown: unknown): boolean {
  return thrown instanceof FerryError && thrown.cause instanceof RpcFailure && thrown.cause.transient;
}
