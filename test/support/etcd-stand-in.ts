import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { Metadata, Server, ServerCredentials, type ServerUnaryCall, type ServerWritableStream, type sendUnaryData } from '@grpc/grpc-js';
import protobuf from 'protobufjs';

const proto = join(dirname(createRequire(import.meta.url).resolve('etcd3/package.json')), 'proto/rpc.proto');
const root = protobuf.loadSync(proto);

/** Whose header every answer of a stand-in has, until it is changed. */
export interface StandInCluster {
  cluster: number;
  member: number;
  revision: number;
  /** What MemberList tells; undefined for a server that does not let it be read. */
  members: readonly number[] | undefined;
}

/** A refusal instead of an answer. */
export class Refusal {
  readonly code: number;
  readonly details: string;
  constructor(code = 7, details = 'etcdserver: permission denied') {
    this.code = code;
    this.details = details;
  }
}

/** What a call is answered with, beside the header: fields of its response message, or their making. */
export type Answers = Readonly<Record<string, object | ((request: never, count: number) => object | Promise<object>)>>;

const UNARY: Readonly<Record<string, readonly string[]>> = {
  KV: ['Range', 'Put', 'DeleteRange', 'Txn'],
  Lease: ['LeaseGrant', 'LeaseRevoke', 'LeaseTimeToLive', 'LeaseLeases'],
  Cluster: ['MemberList'],
  Maintenance: ['Status'],
  Auth: [
    ...['AuthStatus', 'Authenticate', 'UserAdd', 'UserGet', 'UserList', 'UserGrantRole'],
    ...['RoleAdd', 'RoleGet', 'RoleList', 'RoleGrantPermission'],
  ],
};

/** A gRPC server with the calls of etcd's API that are made of it, for what a real etcd never answers. */
export class EtcdStandIn implements AsyncDisposable {
  /** Method names in the order in which they were called. */
  readonly calls: string[] = [];
  readonly is: StandInCluster;
  port = 0;
  #server = new Server({ 'grpc.max_send_message_length': -1 });
  readonly #answers: Answers;
  readonly #snapshot: (stream: ServerWritableStream<Buffer, Buffer>) => void;

  private constructor(is: StandInCluster, answers: Answers, snapshot: (stream: ServerWritableStream<Buffer, Buffer>) => void) {
    this.is = is;
    this.#answers = answers;
    this.#snapshot = snapshot;
  }

  static async start(
    is: Partial<StandInCluster> = {},
    answers: Answers = {},
    snapshot: (stream: ServerWritableStream<Buffer, Buffer>) => void = (stream) => stream.end(),
  ): Promise<EtcdStandIn> {
    const standIn = new EtcdStandIn({ cluster: 7, member: 2, revision: 100, members: [2], ...is }, answers, snapshot);
    await standIn.#listen();
    return standIn;
  }

  get endpoint(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Calls of these methods. */
  count(...methods: readonly string[]): number {
    return this.calls.filter((call) => methods.includes(call)).length;
  }

  /** Closes every connection, and listens at the same address again. */
  async restart(): Promise<void> {
    this.#server.forceShutdown();
    this.#server = new Server({ 'grpc.max_send_message_length': -1 });
    await this.#listen();
  }

  stop(): void {
    this.#server.forceShutdown();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.stop();
  }

  async #listen(): Promise<void> {
    for (const [service, methods] of Object.entries(UNARY)) for (const method of methods) this.#serve(service, method);
    const path = '/etcdserverpb.Maintenance/Snapshot';
    this.#server.addService(
      { Snapshot: { path, requestStream: false, responseStream: true, ...AS_IS } },
      {
        Snapshot: (stream: ServerWritableStream<Buffer, Buffer>) => {
          this.calls.push('Snapshot');
          this.#snapshot(stream);
        },
      },
    );
    this.port = await new Promise<number>((resolve, reject) =>
      this.#server.bindAsync(`127.0.0.1:${this.port}`, ServerCredentials.createInsecure(), (failed, port) =>
        failed === null ? resolve(port) : reject(failed),
      ),
    );
  }

  #serve(service: string, method: string): void {
    const auth = service === 'Auth' && !method.startsWith('Auth') ? 'Auth' : '';
    const Request = root.lookupType(`etcdserverpb.${method === 'Put' ? 'Put' : `${auth}${method}`}Request`);
    const Response = root.lookupType(`etcdserverpb.${auth}${method}Response`);
    const answer = async (bytes: Buffer): Promise<Buffer> => {
      this.calls.push(method);
      const header = { clusterId: this.is.cluster, memberId: this.is.member, revision: this.is.revision };
      const given = this.#answers[method] ?? this.#usual(method);
      const request = Request.toObject(Request.decode(bytes), { longs: Number, defaults: true, bytes: Buffer });
      const fields = typeof given === 'function' ? await given(request as never, this.count(method)) : given;
      if (fields instanceof Refusal) throw fields;
      return Buffer.from(Response.encode(Response.fromObject({ header, ...fields })).finish());
    };
    this.#server.addService(
      { [method]: { path: `/etcdserverpb.${service}/${method}`, requestStream: false, responseStream: false, ...AS_IS } },
      {
        [method]: (call: ServerUnaryCall<Buffer, Buffer>, done: sendUnaryData<Buffer>) =>
          void answer(call.request).then(
            (bytes) => done(null, bytes),
            ({ code, details }: Refusal) => done({ code, details, metadata: new Metadata() }),
          ),
      },
    );
  }

  #usual(method: string): object {
    if (method === 'Status') return { version: '3.5.16', dbSize: 4096, leader: this.is.member };
    if (method !== 'MemberList') return {};
    return this.is.members === undefined ? new Refusal() : { members: this.is.members.map((ID) => ({ ID })) };
  }
}

const asIs = (bytes: Buffer): Buffer => bytes;
const AS_IS = { requestSerialize: asIs, requestDeserialize: asIs, responseSerialize: asIs, responseDeserialize: asIs };
