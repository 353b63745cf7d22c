import { Agent, type Dispatcher } from 'undici';
import { FerryError } from '../errors.js';
import { unlessAborted } from '../model/run.js';
import type { ClusterOptions } from './options.js';
import { AnswerClock, ServerClock } from './v2-clock.js';
import { errorForConnection } from './v2-errors.js';
import { PROBE, V2Identity } from './v2-identity.js';
import { LONGEST_FIRST_LINE, warmConnector } from './v2-warm-connector.js';

/** Redirects followed for one request; etcd needs one, to the leader. */
const MOST_REDIRECTS = 5;
/** Bytes of a short answer that are looked at. */
const SHORT_ANSWER = 1024 * 1024;

/** Bytes of an answer's head where a redirect repeats a long name: as many as etcd takes of a request. */
const LONGEST_HEAD = 1024 * 1024;

export interface V2Request {
  readonly method: 'GET' | 'HEAD' | 'PUT' | 'DELETE';
  /** Path and query, percent-encoded. */
  readonly target: string;
  /** Body in form encoding. */
  readonly form?: Buffer;
  readonly signal?: AbortSignal | undefined;
  /** Longest wait for the first byte of the answer, in milliseconds; the command timeout unless given. */
  readonly patience?: number;
  /** Whether the members agree on the answer: a read by quorum, or a write. */
  readonly agreed?: boolean;
}

/** A handle on an answer whose body has not been read. */
export interface V2Answer {
  readonly endpoint: string;
  readonly status: number;
  header(name: string): string | undefined;
  /** Sets the answer's expirations right, where the server's clock is another than this machine's. */
  readonly clock: AnswerClock;
  /** The body; every failure a FerryError. */
  chunks(): AsyncIterable<Buffer>;
  /** The whole of a short body (cut at 1 MiB). */
  short(): Promise<Buffer>;
  /** Steps over a short body. */
  discard(): Promise<void>;
}

/** HTTP to the endpoints of one cluster, and of no other: kept connections, credentials, redirects, fail-over. */
export class V2Http {
  readonly #agent: Agent;
  /** Its connections take request lines of any length. */
  readonly #agentForLongLines: Agent;
  readonly #endpoints: readonly string[];
  readonly #authorization: string | undefined;
  readonly #options: ClusterOptions;
  #current = 0;
  /** By origin. */
  readonly #clocks = new Map<string, ServerClock>();
  #lastClock: ServerClock | undefined;
  readonly #identity = new V2Identity();

  constructor(options: ClusterOptions) {
    this.#options = options;
    this.#endpoints = options.endpoints.map((endpoint) => new URL(endpoint).origin);
    const { user, password } = options;
    this.#authorization = user === undefined ? undefined : `Basic ${Buffer.from(`${user}:${password ?? ''}`).toString('base64')}`;
    const tls = options.tls ?? {};
    const connect = {
      timeout: options.dialTimeout,
      rejectUnauthorized: tls.insecureSkipVerify !== true,
      ...(tls.ca === undefined ? {} : { ca: tls.ca }),
      ...(tls.cert === undefined ? {} : { cert: tls.cert }),
      ...(tls.key === undefined ? {} : { key: tls.key }),
    };
    const timeouts = { headersTimeout: options.commandTimeout, bodyTimeout: options.commandTimeout };
    const agent = { connections: 64, pipelining: 1, ...timeouts };
    this.#agent = new Agent({ ...agent, connect });
    this.#agentForLongLines = new Agent({ ...agent, maxHeaderSize: LONGEST_HEAD, connect: warmConnector(connect) });
    for (const each of [this.#agent, this.#agentForLongLines]) each.on('disconnect', ({ origin }) => this.#identity.forget(origin));
  }

  /**
   * Makes a request of the endpoints in turn, starting with the one that answered last, until
   * `use` accepts an answer. `use` is called again for the next endpoint when it throws
   * `unreachable`.
   *
   * @returns what `use` resolves to
   * @throws FerryError `unreachable` when no endpoint gives an answer, `other-cluster` when one is not of the cluster
   *   that answered first; whatever `use` throws
   */
  async request<T>(request: V2Request, use: (answer: V2Answer, attempt: number) => Promise<T>): Promise<T> {
    const failures: FerryError[] = [];
    for (let attempt = 0; attempt < this.#endpoints.length; attempt++) {
      const which = (this.#current + attempt) % this.#endpoints.length;
      try {
        const result = await use(await this.#follow(this.#endpoints[which] as string, request), attempt);
        this.#current = which;
        return result;
      } catch (thrown) {
        if (request.signal?.aborted) throw FerryError.from(request.signal.reason);
        const error = FerryError.from(thrown);
        if (error.code !== 'unreachable') throw error;
        failures.push(error);
      }
    }
    const first = failures[0] as FerryError;
    if (failures.length === 1) throw first;
    const hint = first.hint === undefined ? {} : { hint: first.hint };
    throw new FerryError('unreachable', `no endpoint gives an answer: ${failures.map((error) => error.message).join('; ')}`, hint);
  }

  /** Nanoseconds that the clock of the server that answered last is ahead of this machine's; 0n where they are not apart. */
  get clockOffset(): bigint {
    return this.#lastClock?.offset ?? 0n;
  }

  async close(): Promise<void> {
    await Promise.all([this.#agent.destroy(), this.#agentForLongLines.destroy()]);
  }

  async #follow(endpoint: string, request: V2Request): Promise<V2Answer> {
    let at = endpoint;
    let target = request.target;
    for (let hops = 0; hops <= MOST_REDIRECTS; hops++) {
      const sentAt = Date.now();
      const response = await this.#ask(at, target, request);
      const clock = this.#clockOf(at, response, sentAt);
      const location = response.headers.location;
      if (response.statusCode < 300 || response.statusCode > 399 || typeof location !== 'string') return answerOf(at, response, clock);
      await drain(at, response);
      const next = redirected(at, target, location);
      at = next.origin;
      target = next.target;
    }
    throw new FerryError('unreachable', `${endpoint} redirects more than ${MOST_REDIRECTS} times, last to ${at}${pathOf(target)}`, {
      hint: 'Does the cluster have a leader, and do its members advertise their own client URLs?',
    });
  }

  /** Nothing is written before it is known to whom. */
  async #ask(origin: string, target: string, request: V2Request): Promise<Dispatcher.ResponseData> {
    const { method, signal, agreed = writes(method) } = request;
    if (writes(method)) {
      await this.#identity.prove(origin, async () => {
        await drain(origin, await this.#accepted(origin, PROBE, { method: 'GET', target: PROBE, signal, agreed: false }));
      });
    }
    return this.#accepted(origin, target, { ...request, agreed });
  }

  async #accepted(origin: string, target: string, request: V2Request): Promise<Dispatcher.ResponseData> {
    const before = this.#identity.told;
    const response = await this.#send(origin, target, request);
    const { statusCode: status, headers } = response;
    try {
      await this.#identity.accept({ origin, status, headers, before, agreed: request.agreed === true });
    } catch (thrown) {
      response.body.on('error', () => {}).destroy();
      throw thrown;
    }
    return response;
  }

  #clockOf(origin: string, { headers: { date } }: Dispatcher.ResponseData, sentAt: number): AnswerClock {
    const clock = this.#clocks.get(origin) ?? new ServerClock();
    this.#clocks.set(origin, clock);
    this.#lastClock = clock;
    const times = { sentAt, receivedAt: Date.now() };
    clock.seeDate(typeof date === 'string' ? date : undefined, times);
    return new AnswerClock(clock, times);
  }

  async #send(origin: string, target: string, request: V2Request): Promise<Dispatcher.ResponseData> {
    const headers: Record<string, string> = {};
    if (this.#authorization !== undefined) headers.authorization = this.#authorization;
    if (request.form !== undefined) headers['content-type'] = 'application/x-www-form-urlencoded';
    try {
      const agent = target.length > LONGEST_FIRST_LINE ? this.#agentForLongLines : this.#agent;
      const answer = agent.request({
        origin,
        path: target,
        method: request.method,
        headers,
        body: request.form ?? null,
        signal: request.signal ?? null,
        headersTimeout: request.patience ?? this.#options.commandTimeout,
      });
      // Undici looks at the signal only once it is connected.
      return await unlessAborted(answer, request.signal);
    } catch (thrown) {
      throw errorForConnection(origin, thrown);
    }
  }
}

function writes(method: V2Request['method']): boolean {
  return method === 'PUT' || method === 'DELETE';
}

function answerOf(endpoint: string, response: Dispatcher.ResponseData, clock: AnswerClock): V2Answer {
  return {
    endpoint,
    clock,
    status: response.statusCode,
    header: (name) => {
      const value = response.headers[name];
      return Array.isArray(value) ? value[0] : value;
    },
    chunks: () => chunksOf(endpoint, response),
    short: () => drain(endpoint, response),
    discard: async () => {
      try {
        await response.body.dump({ limit: SHORT_ANSWER });
      } catch (thrown) {
        throw errorForConnection(endpoint, thrown);
      }
    },
  };
}

async function* chunksOf(endpoint: string, response: Dispatcher.ResponseData): AsyncGenerator<Buffer> {
  const chunks = response.body[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  try {
    for (;;) {
      const { done, value } = await chunks.next().catch((thrown: unknown) => {
        throw errorForConnection(endpoint, thrown);
      });
      if (done === true) return;
      yield value;
    }
  } finally {
    response.body.on('error', () => {}).destroy();
  }
}

async function drain(endpoint: string, response: Dispatcher.ResponseData): Promise<Buffer> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const chunk of chunksOf(endpoint, response)) {
    parts.push(chunk);
    length += chunk.length;
    if (length >= SHORT_ANSWER) break;
  }
  return Buffer.concat(parts);
}

function redirected(origin: string, target: string, location: string): { readonly origin: string; readonly target: string } {
  let url: URL;
  try {
    url = new URL(location, `${origin}${target}`);
  } catch {
    throw new FerryError('unreachable', `${origin} redirects to what is no address: ${JSON.stringify(location.slice(0, 80))}`);
  }
  if (url.protocol !== new URL(origin).protocol) {
    throw new FerryError('unreachable', `${origin} redirects from ${new URL(origin).protocol} to ${url.protocol}`, {
      hint: 'All members must be reached the same way; credentials are not sent over another.',
    });
  }
  return { origin: url.origin, target: `${url.pathname}${url.search}` };
}

function pathOf(target: string): string {
  return target.split('?', 1)[0] as string;
}
