import { FerryError, type FerryErrorCode } from '../errors.js';

/** What is known of a failure: the name S3 or the SDK gives it, and the HTTP status if there was an answer. */
interface S3Failure {
  readonly name: string;
  readonly status: number;
  /** Of the operating system, where the network failed. */
  readonly code: string;
}

/** Network failures by Node's names, and what the SDK calls its own timeouts. */
const NETWORK = /^(E(CONN(REFUSED|RESET|ABORTED)|NOTFOUND|AI_AGAIN|HOSTUNREACH|NETUNREACH|TIMEDOUT|PIPE|PROTO)|TimeoutError|ERR_TLS_.*)$/;
/** What OpenSSL and Node name where a certificate does not hold. */
const UNTRUSTED = /CERT|SIGNATURE|ISSUER|CRL|ALTNAME/;

/** True when a server has no such operation: many look-alikes of S3 leave some out. */
export function isNotImplemented(thrown: unknown): boolean {
  const { name, status } = failureOf(thrown);
  return status === 501 || status === 405 || name === 'NotImplemented' || name === 'MethodNotAllowed';
}

/** True for an object, or an upload, that is not there. A missing bucket is something else. */
export function isMissing(thrown: unknown): boolean {
  const { name, status } = failureOf(thrown);
  return name === 'NoSuchKey' || name === 'NoSuchUpload' || (status === 404 && name !== 'NoSuchBucket');
}

/** True when S3 keeps an object that is not to be overwritten ("Conditional writes": 412, or 409 for two at once). */
export function isTaken(thrown: unknown): boolean {
  const { name, status } = failureOf(thrown);
  return status === 412 || name === 'PreconditionFailed' || name === 'ConditionalRequestConflict';
}

/** True when the credentials were refused. */
export function isRefused(thrown: unknown): boolean {
  const { status } = failureOf(thrown);
  return status === 401 || status === 403;
}

/**
 * What a failure of the SDK means (S3 API reference, "Error responses").
 *
 * @param doing what was being done, put before the message
 */
export function s3Error(thrown: unknown, doing: string): FerryError {
  if (thrown instanceof FerryError) return thrown;
  const failure = failureOf(thrown);
  const { code, says, hint } = meaningOf(failure);
  const answer = failure.status === 0 ? '' : ` (${failure.name}, HTTP ${failure.status})`;
  const message = says ?? (thrown instanceof Error ? thrown.message : String(thrown));
  return new FerryError(code, `${doing}: ${message}${answer}`, { ...(hint === undefined ? {} : { hint }), cause: thrown });
}

interface Meaning {
  readonly code: FerryErrorCode;
  readonly says?: string;
  readonly hint?: string;
}

function meaningOf(failure: S3Failure): Meaning {
  const { name, status, code } = failure;
  if (name === 'NoSuchBucket') {
    return { code: 'unreachable', says: 'no such bucket', hint: 'Check its name and --s3-endpoint; etcdferry makes no buckets.' };
  }
  if (name === 'CredentialsProviderError') {
    const hint = 'Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE; the AWS SDK looks in its usual places.';
    return { code: 'unauthorized', says: 'no credentials were found', hint };
  }
  if (status === 301 || name === 'PermanentRedirect' || name === 'AuthorizationHeaderMalformed') {
    return { code: 'unreachable', says: 'the bucket is in another region', hint: 'Set AWS_REGION to the one it is in.' };
  }
  if (status === 401 || status === 403) {
    const hint = 'Check the keys (AWS_ACCESS_KEY_ID, AWS_PROFILE, …), and what they may do in this bucket: list, get, put and delete.';
    return { code: 'unauthorized', says: 'the server refuses the credentials', hint };
  }
  if (UNTRUSTED.test(code)) {
    const hint = "Name the file of its authority's certificate in NODE_EXTRA_CA_CERTS, and check the host name.";
    return { code: 'unreachable', says: `the server's certificate is not trusted (${code})`, hint };
  }
  if (name === 'AnswerTooLong') {
    return { code: 'failed', hint: 'Whatever answers there does not serve S3 as it should: check --s3-endpoint, and the server.' };
  }
  if (NETWORK.test(code) || NETWORK.test(name)) {
    const says = `the server cannot be reached: ${code || name}`;
    return { code: 'unreachable', says, hint: 'Check --s3-endpoint, AWS_REGION, and the network.' };
  }
  if (status === 507) return { code: 'no-space', says: 'the server has no space left' };
  if (status === 429 || status >= 500) return { code: 'unreachable', says: 'the server cannot serve now', hint: 'Try again later.' };
  if (isNotThere(failure)) return { code: 'not-found', says: 'no such object', hint: 'Check the name.' };
  return { code: 'failed' };
}

function isNotThere({ name, status }: S3Failure): boolean {
  return name === 'NoSuchKey' || status === 404;
}

function failureOf(thrown: unknown): S3Failure {
  if (!(thrown instanceof Error)) return { name: '', status: 0, code: '' };
  const { name, code, $metadata } = thrown as NodeJS.ErrnoException & { readonly $metadata?: { readonly httpStatusCode?: number } };
  // What was cut off tells nothing, whatever status stood before it.
  const status = name === 'AnswerTooLong' ? 0 : ($metadata?.httpStatusCode ?? 0);
  return { name, status, code: code ?? '' };
}
