import type {
  IAuthenticateRequest,
  IAuthenticateResponse,
  IAuthRoleAddRequest,
  IAuthRoleGetRequest,
  IAuthRoleGetResponse,
  IAuthRoleGrantPermissionRequest,
  IAuthRoleListResponse,
  IAuthStatusResponse,
  IAuthUserAddRequest,
  IAuthUserGetRequest,
  IAuthUserGetResponse,
  IAuthUserGrantRoleRequest,
  IAuthUserListResponse,
  ILeaseGrantRequest,
  ILeaseGrantResponse,
  ILeaseLeasesResponse,
  ILeaseRevokeRequest,
  ILeaseTimeToLiveRequest,
  ILeaseTimeToLiveResponse,
  IResponseHeader,
  IStatusResponse,
} from 'etcd3';
import { headerOf, type ResponseHeader } from '../wire/rpc.js';
import type { StartCall } from './v3-endpoint.js';

type Nothing = Readonly<Record<string, never>>;

/** The calls whose messages etcd3 packs: method by its name in the service client. */
interface Calls {
  readonly authenticate: [IAuthenticateRequest, IAuthenticateResponse];
  readonly authStatus: [Nothing, IAuthStatusResponse];
  readonly userList: [Nothing, IAuthUserListResponse];
  readonly userGet: [IAuthUserGetRequest, IAuthUserGetResponse];
  readonly userAdd: [IAuthUserAddRequest, object];
  readonly userGrantRole: [IAuthUserGrantRoleRequest, object];
  readonly roleList: [Nothing, IAuthRoleListResponse];
  readonly roleGet: [IAuthRoleGetRequest, IAuthRoleGetResponse];
  readonly roleAdd: [IAuthRoleAddRequest, object];
  readonly roleGrantPermission: [IAuthRoleGrantPermissionRequest, object];
  readonly leaseLeases: [Nothing, ILeaseLeasesResponse];
  readonly leaseTimeToLive: [ILeaseTimeToLiveRequest, ILeaseTimeToLiveResponse];
  readonly leaseGrant: [ILeaseGrantRequest, ILeaseGrantResponse];
  readonly leaseRevoke: [ILeaseRevokeRequest, object];
  readonly status: [Nothing, IStatusResponse];
}

/** A call whose messages etcd3 packs and unpacks. */
export function typed<M extends keyof Calls>(method: M, request: Calls[M][0]): StartCall<Calls[M][1]> {
  return (client, metadata, options, done) => {
    // Service clients are made from etcd's .proto file when the program runs; their methods have no static types.
    const methods = client as unknown as Readonly<Record<string, (...args: unknown[]) => { cancel(): void }>>;
    const start = methods[method];
    if (start === undefined) throw new TypeError(`etcd3 has no method ${method}`);
    return start.call(client, request, metadata, options, done);
  };
}

/** A call whose messages are bytes to us: nothing is decoded, nothing copied. */
export function raw(path: string, request: Uint8Array): StartCall<Buffer> {
  return (client, metadata, options, done) =>
    client.makeUnaryRequest(path, asIs<Uint8Array>, asIs<Buffer>, request, metadata, options, done);
}

/** The identity function, in the shape grpc-js wants a serializer. */
export function asIs<T>(message: T): Buffer & T {
  return message as Buffer & T;
}

/**
 * The header of an answer, packed or unpacked.
 *
 * @returns undefined where it has none
 * @throws FerryError `damaged` when a packed answer does not parse
 */
export function headerIn(answer: unknown): ResponseHeader | undefined {
  if (Buffer.isBuffer(answer)) return headerOf(answer);
  const { header } = answer as { readonly header?: IResponseHeader | null };
  if (header === undefined || header === null) return undefined;
  const { cluster_id: clusterId, member_id: memberId, revision } = header;
  return { clusterId: BigInt(clusterId), memberId: BigInt(memberId), revision: BigInt(revision) };
}
