import { type Readable, Transform } from 'node:stream';

/** The most bytes of an answer that is no part of an object: a page of a listing has 1,000 keys of up to 1,024 bytes. */
const LONGEST_ANSWER = 8 * 1024 * 1024;

/** An answer that goes on beyond what was asked for. */
export class AnswerTooLong extends Error {
  /**
   * @param most bytes that were asked for, or are taken at most
   * @param server host and port, for messages
   */
  constructor(most: number, server: string) {
    super(`the server${server === '' ? '' : ` at ${server}`} sends more than the ${most} bytes it was asked for`);
    this.name = 'AnswerTooLong';
  }
}

/** What of a request and its answer is looked at here; the SDK's own types are of packages that it does not export. */
interface Request {
  readonly hostname: string;
  readonly port?: number;
  readonly headers: Readonly<Record<string, string>>;
}
interface Options {
  readonly abortSignal?: unknown;
}
interface Answer {
  readonly response: { body?: unknown; readonly statusCode?: number };
}
/** What sends a request and gives its answer, whose body is still to come. */
export interface RequestHandler {
  handle(request: never, options?: never): Promise<Answer>;
}

/**
 * Makes a client's handler cut off bodies that have no end, and let go of those that stall when the signal is aborted:
 * the SDK collects a body whole, and heeds a signal only until the answer's headers are there.
 *
 * @param signalNow the signal that counts for a request which begins now
 */
export function boundAnswers(handler: RequestHandler, signalNow: () => AbortSignal | undefined): void {
  const handle = handler.handle.bind(handler) as (request: Request, options?: Options) => Promise<Answer>;
  const bounded = async (request: Request, options: Options = {}): Promise<Answer> => {
    const signal = signalNow();
    const answer = await handle(request, options);
    const { body } = answer.response;
    if (isReadable(body)) answer.response.body = boundBody(body, mostOf(request, answer), request, signal);
    return answer;
  };
  handler.handle = bounded as unknown as RequestHandler['handle'];
}

function boundBody(body: Readable, most: number, { hostname, port }: Request, signal: AbortSignal | undefined): Readable {
  let left = most;
  const bound = new Transform({
    transform(chunk: Buffer, _, done) {
      left -= chunk.length;
      if (left < 0) done(new AnswerTooLong(most, port === undefined ? hostname : `${hostname}:${port}`));
      else done(null, chunk);
    },
  });
  // With the reason, so that nobody asks again; the body itself is destroyed with it.
  const stop = (): void => void bound.destroy(signal?.reason);
  bound.on('close', () => {
    signal?.removeEventListener('abort', stop);
    body.destroy();
  });
  body.on('error', (error) => bound.destroy(error));
  body.on('aborted', () => bound.destroy(new Error('the connection was closed in the middle of an answer')));
  if (signal?.aborted === true) stop();
  else signal?.addEventListener('abort', stop, { once: true });
  return body.pipe(bound);
}

function isReadable(body: unknown): body is Readable {
  return typeof body === 'object' && body !== null && 'pipe' in body;
}

/** The length of the range that was asked for (`bytes=FIRST-LAST`), where the answer is one; else what every other has to do with. */
function mostOf({ headers }: Request, { response: { statusCode = 0 } }: Answer): number {
  const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(headers.range ?? headers.Range ?? '') ?? [];
  return first === undefined || statusCode >= 300 ? LONGEST_ANSWER : Number(last) - Number(first) + 1;
}
