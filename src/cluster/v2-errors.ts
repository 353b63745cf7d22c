import { FerryError } from '../errors.js';

/** What etcd's v2 API refuses with (etcdserver/api/v2error/error.go), as far as it is told apart. */
export const V2_REFUSAL = {
  keyNotFound: 100,
  compareFailed: 101,
  notAFile: 102,
  notADirectory: 104,
  nodeExists: 105,
  rootIsReadOnly: 107,
  directoryNotEmpty: 108,
  unauthorized: 110,
  eventIndexCleared: 401,
} as const;

const RAFT_INTERNAL = 300;

/** An error answer of the v2 API. */
export interface V2Refusal {
  readonly errorCode: number;
  /** As etcd words it: `Key not found (/foo)`. */
  readonly text: string;
}

const V2_HINT = 'etcd serves v2 up to 3.5, and from 3.4 on only with --enable-v2; is the keyspace a v3 one (--api v3)?';

/** The v2 API's error in an answer's body; undefined when there is none. */
export function refusalIn(body: Buffer): V2Refusal | undefined {
  try {
    const { errorCode, message, cause } = JSON.parse(body.toString()) as { errorCode?: unknown; message?: unknown; cause?: unknown };
    if (typeof errorCode !== 'number') return undefined;
    const text = cause === undefined || cause === '' ? String(message) : `${String(message)} (${String(cause)})`;
    // etcd 3.5 wraps the refusal to update a directory (api/v2store/node.go, Write) in an error of Raft.
    const isWrapped = errorCode === RAFT_INTERNAL && /: Not a file\b/.test(String(cause));
    return { errorCode: isWrapped ? V2_REFUSAL.notAFile : errorCode, text };
  } catch {
    return undefined;
  }
}

/**
 * The error for an answer that is none of those expected.
 *
 * @param status HTTP status
 * @param body its first bytes
 */
export function errorForAnswer(endpoint: string, status: number, body: Buffer): FerryError {
  const refusal = refusalIn(body);
  if (refusal !== undefined) return errorForRefusal(endpoint, refusal);
  if (status === 401 || status === 403) {
    return new FerryError('unauthorized', `${endpoint} refuses the credentials (HTTP ${status})`, { hint: 'Check --user and --password.' });
  }
  if (status === 414 || status === 431) {
    return new FerryError('failed', `${endpoint}: the name of a node is longer than the server takes (HTTP ${status})`, {
      hint: "etcd takes a request's first lines up to 1 MiB, names percent-encoded. Choose others with --prefix or --exclude-prefix.",
    });
  }
  if (status === 404) return new FerryError('unreachable', `${endpoint} does not serve the v2 API (HTTP 404)`, { hint: V2_HINT });
  if (status >= 200 && status < 300) {
    return new FerryError('unreachable', `${endpoint} answers, but not with the JSON of etcd's v2 API: ${firstLine(body)}`, {
      hint: 'Is this the client URL of an etcd?',
    });
  }
  return new FerryError('unreachable', `${endpoint} answers with HTTP ${status}: ${firstLine(body)}`, {
    hint: 'Is this the client URL of an etcd?',
  });
}

/** The error for a refusal that its caller did not expect. */
export function errorForRefusal(endpoint: string, { errorCode, text }: V2Refusal): FerryError {
  const message = `${endpoint}: ${text}`;
  if (errorCode === V2_REFUSAL.keyNotFound) return new FerryError('not-found', message, { hint: 'Check the path.' });
  if (errorCode === V2_REFUSAL.unauthorized) {
    return new FerryError('unauthorized', message, { hint: 'Check --user and --password, and what the role may read and write.' });
  }
  // 300 to 399: Raft has no leader, or did not answer in time.
  if (errorCode >= 300 && errorCode < 400) return new FerryError('unreachable', message, { hint: 'Does the cluster have a leader?' });
  if (errorCode === V2_REFUSAL.compareFailed || (errorCode >= V2_REFUSAL.notAFile && errorCode <= V2_REFUSAL.directoryNotEmpty)) {
    return new FerryError('in-the-way', message);
  }
  return new FerryError('failed', `${message} (v2 error ${errorCode})`);
}

/** The error for a request that got no answer: no connection, no TLS, too slow, cut off. */
export function errorForConnection(endpoint: string, thrown: unknown): FerryError {
  if (thrown instanceof FerryError) return thrown;
  const code = codeOf(thrown);
  const { message, hint, unauthorized } = connectionFault(code) ?? {
    message: `the connection failed${code === '' ? '' : ` (${code})`}`,
    hint: 'Check the address.',
  };
  return new FerryError(unauthorized === true ? 'unauthorized' : 'unreachable', `${endpoint}: ${message}`, { hint, cause: thrown });
}

interface ConnectionFault {
  readonly message: string;
  readonly hint: string;
  readonly unauthorized?: boolean;
}

/** By the codes of Node's net, dns and tls, OpenSSL, and undici (undici/lib/core/errors.js). */
function connectionFault(code: string): ConnectionFault | undefined {
  const reachable = 'Check the address, and that etcd listens there.';
  if (code === 'ECONNREFUSED') return { message: 'connection refused', hint: reachable };
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return { message: `host name not found (${code})`, hint: 'Check the host name.' };
  if (code === 'UND_ERR_CONNECT_TIMEOUT' || code === 'ETIMEDOUT') {
    return { message: 'no connection in time', hint: 'Check the address, or raise --dial-timeout.' };
  }
  if (code === 'UND_ERR_HEADERS_TIMEOUT' || code === 'UND_ERR_BODY_TIMEOUT') {
    return { message: 'no answer in time', hint: 'Raise --command-timeout, or look at the load of the server.' };
  }
  if (/ALERT_(?:BAD_CERTIFICATE|CERTIFICATE_REQUIRED|UNKNOWN_CA|HANDSHAKE_FAILURE)/.test(code)) {
    return { message: `the server refuses the client certificate (${code})`, hint: 'Check --cert and --key.', unauthorized: true };
  }
  if (/CERT|SIGNATURE|ISSUER|CRL|ALTNAME/.test(code)) {
    return { message: `the server's certificate is not trusted (${code})`, hint: 'Check --cacert, and the host name in the certificate.' };
  }
  if (/^(?:EPROTO|ERR_SSL|ERR_OSSL)/.test(code)) return { message: `TLS failed (${code})`, hint: 'Check that http or https is meant.' };
  if (/^HPE_/.test(code)) return { message: 'the answer is not HTTP', hint: 'Check that http or https is meant.' };
  if (/^(?:UND_ERR_SOCKET|ECONNRESET|EPIPE|UND_ERR_RES_CONTENT_LENGTH_MISMATCH|UND_ERR_ABORTED)$/.test(code)) {
    return { message: 'the connection was cut before the answer was whole', hint: 'Try again; with https, check --cert and --key too.' };
  }
  return undefined;
}

function codeOf(thrown: unknown): string {
  const { code, name, cause } = thrown as { code?: unknown; name?: unknown; cause?: unknown };
  if (typeof code === 'string') return code;
  if (name === 'HTTPParserError') return 'HPE_UNNAMED';
  return cause === undefined || cause === null ? '' : codeOf(cause);
}

/** The start of a body as one printable line. */
function firstLine(body: Buffer): string {
  const text =
    body
      .subarray(0, 200)
      .toString()
      .trim()
      .split(/[\r\n]/, 1)[0] ?? '';
  return text === '' ? 'nothing' : JSON.stringify(text.slice(0, 80));
}
