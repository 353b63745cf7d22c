import { FerryError, type FerryErrorCode } from '../errors.js';

/**
 * What a failed call meant, where a caller acts on it: finer than FerryError's codes.
 *
 * - `too-many-operations`: the transaction has more operations than the server takes (128 by default)
 * - `request-too-large`: the request has more bytes than the server takes (1.5 MiB by default)
 * - `answer-too-large`: the answer is larger than the receive limit of the call
 * - `outcome-unknown`: a write was sent and its answer was lost; it may have been carried out
 * - `timed-out`: no answer within the command timeout
 * - `corrupt`: the cluster has the CORRUPT alarm, and refuses reads and writes
 */
export type V3Reason =
  | 'too-many-operations'
  | 'request-too-large'
  | 'answer-too-large'
  | 'outcome-unknown'
  | 'timed-out'
  | 'corrupt'
  | 'invalid-token'
  | 'permission-denied'
  | 'auth-not-enabled'
  | 'lease-not-found'
  | 'already-exists'
  | 'not-supported';

/** A failed call as gRPC told it; what `cause` of a FerryError from this room holds. */
export class RpcFailure {
  /** gRPC status code. */
  readonly status: number;
  readonly details: string;
  readonly reason: V3Reason | undefined;
  /** The endpoint or the cluster is in trouble: another endpoint, or a later moment, may do better. */
  readonly transient: boolean;
  /** The request was certainly not carried out. */
  readonly notApplied: boolean;

  constructor(status: GrpcStatus, known: Pick<Known, 'reason' | 'transient' | 'notApplied'>) {
    this.status = status.code;
    this.details = status.details;
    this.reason = known.reason;
    this.transient = known.transient ?? false;
    this.notApplied = known.notApplied ?? false;
  }
}

/** The fields of grpc-js' ServiceError that count. */
export interface GrpcStatus {
  readonly code: number;
  readonly details: string;
}

/** Why a call failed, when this room threw the error and a caller can act on the reason. */
export function reasonOf(thrown: unknown): V3Reason | undefined {
  return failureOf(thrown)?.reason;
}

/** What gRPC said of the call that failed; undefined for errors of another origin. */
export function failureOf(thrown: unknown): RpcFailure | undefined {
  return thrown instanceof FerryError && thrown.cause instanceof RpcFailure ? thrown.cause : undefined;
}

interface Known {
  readonly code: FerryErrorCode;
  /** Said instead of etcd's own words. */
  readonly message?: string;
  readonly hint?: string;
  readonly reason?: V3Reason;
  readonly transient?: boolean;
  readonly notApplied?: boolean;
}

const CREDENTIALS = 'Check --user and --password.';
const TRANSIENT: Known = {
  code: 'unreachable',
  transient: true,
  hint: 'See whether the cluster has a leader and enough members (etcdctl endpoint status).',
};
const TOKEN: Known = { code: 'unauthorized', reason: 'invalid-token', hint: CREDENTIALS };

/**
 * etcd's own errors by their text, as api/v3rpc/rpctypes/error.go and server/auth/store.go of etcd
 * 3.4 to 3.6 have it, without the `etcdserver: ` or `auth: ` before it. Their gRPC codes differ
 * between services and versions, and some arrive as UNKNOWN, so the text is what tells them.
 */
const ETCD_ERRORS: ReadonlyMap<string, Known> = new Map(
  Object.entries<Known>({
    'mvcc: required revision has been compacted': { code: 'compacted', hint: 'Ask for a newer revision.' },
    'mvcc: required revision is a future revision': { code: 'future-revision', hint: 'Ask for an older revision.' },
    'mvcc: database space exceeded': {
      code: 'no-space',
      message: 'the cluster is out of space (alarm NOSPACE)',
      hint: 'Compact and defragment it, or raise its quota, then clear the alarm (etcdctl alarm disarm).',
    },
    'too many operations in txn request': { code: 'failed', reason: 'too-many-operations' },
    'request is too large': { code: 'failed', reason: 'request-too-large', hint: 'Raise --max-request-bytes of the server.' },
    'permission denied': {
      code: 'unauthorized',
      reason: 'permission-denied',
      hint: "Grant the user's roles what is missing, or use another user.",
    },
    'invalid auth token': TOKEN,
    'revision of auth store is old': TOKEN,
    'revision in header is old': TOKEN,
    'user name is empty': {
      code: 'unauthorized',
      message: 'authentication is on, and no user was given',
      reason: 'permission-denied',
      hint: 'Give --user and --password, or a client certificate that names a user.',
    },
    'authentication failed, invalid user ID or password': {
      code: 'unauthorized',
      message: 'the user or its password is wrong',
      hint: CREDENTIALS,
    },
    'authentication failed, password was given for no password user': {
      code: 'unauthorized',
      message: 'the user has no password',
      hint: 'Log in by certificate (--cert, --key).',
    },
    'authentication is not enabled': { code: 'failed', reason: 'auth-not-enabled' },
    'lease already exists': { code: 'in-the-way', reason: 'already-exists' },
    'user name already exists': { code: 'in-the-way', reason: 'already-exists' },
    'role name already exists': { code: 'in-the-way', reason: 'already-exists' },
    'requested lease not found': { code: 'failed', reason: 'lease-not-found' },
    'too many requests': { ...TRANSIENT, notApplied: true },
    'no leader': { ...TRANSIENT, notApplied: true },
    'leader changed': TRANSIENT,
    'server stopped': TRANSIENT,
    'request timed out': TRANSIENT,
    'request timed out, possibly due to previous leader failure': TRANSIENT,
    'request timed out, possibly due to connection lost': TRANSIENT,
    'request timed out, waiting for the applied index took too long': TRANSIENT,
    'unhealthy cluster': TRANSIENT,
    'rpc not supported for learner': { ...TRANSIENT, notApplied: true, hint: 'Name an endpoint that is not a learner.' },
    'corrupt cluster': {
      code: 'not-up-to-date',
      reason: 'corrupt',
      message: 'the cluster says that it is corrupt (alarm CORRUPT)',
      hint: 'Find the sound members before anything else.',
    },
  }),
);

const CANCELLED = 1;
const DEADLINE_EXCEEDED = 4;
const PERMISSION_DENIED = 7;
const RESOURCE_EXHAUSTED = 8;
const UNIMPLEMENTED = 12;
const INTERNAL = 13;
const UNAVAILABLE = 14;
const UNAUTHENTICATED = 16;

/**
 * Turns a failed gRPC call into a FerryError whose cause is an RpcFailure.
 *
 * @param address the endpoint asked, as the user may see it
 */
export function rpcError(status: GrpcStatus, address: string): FerryError {
  const known = knownEtcd(status.details) ?? knownGrpc(status, address);
  const said = (known.message ?? status.details.replace(/^etcdserver: (mvcc: )?|^auth: /, '')).replaceAll(/\s+/g, ' ').trim();
  const options = { cause: new RpcFailure(status, known), ...(known.hint === undefined ? {} : { hint: known.hint }) };
  return new FerryError(known.code, `${address}: ${said}`, options);
}

/** The same failure of a write that was sent: nobody knows whether it was carried out. */
export function outcomeUnknown(error: FerryError): FerryError {
  const failure = failureOf(error);
  if (failure === undefined) return error;
  const cause = new RpcFailure({ code: failure.status, details: failure.details }, { reason: 'outcome-unknown' });
  return new FerryError('unreachable', `${error.message}; whether the write was carried out is not known`, { cause });
}

function knownEtcd(details: string): Known | undefined {
  const own = /^(?:etcdserver|auth): (.*)$/s.exec(details);
  return own === null ? undefined : ETCD_ERRORS.get(own[1] as string);
}

function knownGrpc({ code, details }: GrpcStatus, address: string): Known {
  const http = /^Received HTTP status code (\d+)/.exec(details)?.[1];
  if (http !== undefined) return noGrpc(http);
  switch (code) {
    case DEADLINE_EXCEEDED:
      return {
        ...{ code: 'unreachable', message: 'no answer in time', reason: 'timed-out', transient: true },
        hint: 'Raise --command-timeout, or see why the server is slow.',
      };
    case RESOURCE_EXHAUSTED:
      return knownTooLarge(details);
    case UNIMPLEMENTED:
      return { code: 'failed', reason: 'not-supported' };
    case PERMISSION_DENIED:
      return { code: 'unauthorized', reason: 'permission-denied' };
    case UNAUTHENTICATED:
      return TOKEN;
    case UNAVAILABLE:
      return knownConnection(details, address);
    case INTERNAL:
    case CANCELLED:
      return { code: 'unreachable', transient: true };
    default:
      return { code: 'failed' };
  }
}

/** gRPC's own answers always have HTTP status 200: this one came from something else. */
function noGrpc(httpStatus: string): Known {
  return {
    ...{ code: 'unreachable', transient: true, message: `answers with HTTP status ${httpStatus}, not as etcd's v3 API does` },
    hint: 'Check the address, and what proxy stands between ($http_proxy, $https_proxy, $no_proxy).',
  };
}

/** grpc-js refuses an answer in its own words; grpc-go refuses a request, or to send an answer, in others. */
function knownTooLarge(details: string): Known {
  if (details.startsWith('Received message')) return { code: 'failed', reason: 'answer-too-large' };
  if (details.startsWith('grpc: trying to send')) return { code: 'failed', reason: 'answer-too-large' };
  if (details.startsWith('grpc: received message')) return { code: 'failed', reason: 'request-too-large' };
  return { code: 'failed' };
}

const CLOSED = /ECONNRESET|socket hang up|Socket closed|Failed to connect|disconnected|EPIPE/i;

const TROUBLES: readonly (readonly [text: RegExp, message: string, hint: string])[] = [
  [/ECONNREFUSED/, 'connection refused', 'Check the address, and that etcd is running there.'],
  [/ENOTFOUND|EAI_AGAIN|Name resolution failed/, 'the host name cannot be resolved', 'Check the address.'],
  [/EHOSTUNREACH|ENETUNREACH/, 'no route to the host', 'Check the address and the network.'],
  [/ETIMEDOUT/, 'the connection timed out', 'Check the address, the network and any firewall.'],
  [
    /alert (unknown ca|bad certificate|certificate required|handshake failure)|alert number (40|42|48|116)/i,
    "the server does not accept the client's certificate",
    'Give --cert and --key that its authority has signed.',
  ],
  [
    /alert certificate expired|alert number 45/i,
    "the server says that the client's certificate has expired",
    'Renew the certificate of --cert.',
  ],
  [
    /alert certificate revoked|alert number 44/i,
    "the server says that the client's certificate was revoked",
    'Get another one for --cert.',
  ],
  [/certificate has expired/, "the server's certificate has expired", 'Renew the certificate.'],
  [/not yet valid/, "the server's certificate is not valid yet", "Check this machine's clock and the certificate."],
  [/altnames|ERR_TLS_CERT_ALTNAME/, "the server's certificate is for another name", 'Use an address that the certificate names.'],
  [
    /self.signed|unable to (get|verify)|UNABLE_TO|issuer/i,
    "the server's certificate is not signed by a trusted authority",
    'Name the right authority with --cacert.',
  ],
  [
    /wrong version number|packet length too long|EPROTO.*http request/i,
    'the server does not speak TLS there',
    'Use http:// instead of https://.',
  ],
  [/Protocol error/, 'what answers there does not speak gRPC', 'Check the address and the port.'],
  [CLOSED, 'the connection was closed by the server', ''],
];

/** What kept grpc-js from connecting; it gives the reason of the last attempt as text only. */
function knownConnection(details: string, address: string): Known {
  const neverSent = /^No connection established|^Name resolution failed|^Stream refused|^The channel has been closed/.test(details);
  const trouble = TROUBLES.find(([text]) => text.test(details));
  const plain = /Last error: (?:Error: )?(.*?)(?: \(\d{4}-[^)]*\))?\. Resolution note/s.exec(details)?.[1];
  return {
    code: 'unreachable',
    transient: true,
    notApplied: neverSent,
    message: trouble?.[1] ?? plain ?? details,
    ...(trouble === undefined ? {} : { hint: trouble[2] || closedHint(address, neverSent) }),
  };
}

function closedHint(address: string, whileConnecting: boolean): string {
  if (!whileConnecting) return 'See whether the server was stopped, and the network.';
  if (!address.startsWith('https:')) return 'If the server speaks TLS there, use https:// instead of http://.';
  return 'If the server does not speak TLS there, use http:// instead of https://; if it asks for client certificates, give --cert and --key.';
}
