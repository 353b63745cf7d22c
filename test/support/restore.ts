import type { V3Cluster } from '../../src/cluster/v3.js';
import { connectV3 } from '../../src/cluster/v3-connect.js';
import { recordAt } from '../../src/model/batch.js';
import type { KeyValue } from '../../src/model/keyvalue.js';
import { quietRun } from '../../src/model/run.js';
import { decodeKeyValue } from '../../src/wire/keyvalue.js';
import { decodeRangeResponse } from '../../src/wire/rpc.js';
import { encodeRange, encodeTxn } from '../../src/wire/rpc-request.js';
import { type RestoreV3Options, type RestoreV3Report, restoreLiveV3 } from '../../src/writers/live-v3.js';
import { clusterOptions } from './cluster.js';
import { type EtcdBinaries, EtcdServer } from './etcd.js';
import { type MadeSource, sourceOf } from './source.js';

/** A real etcd to restore into, and what tests ask of it. */
export class RestoreTarget implements AsyncDisposable {
  readonly server: EtcdServer;
  readonly cluster: V3Cluster;

  private constructor(server: EtcdServer, cluster: V3Cluster) {
    this.server = server;
    this.cluster = cluster;
  }

  static async start(etcd: EtcdBinaries, args: readonly string[] = []): Promise<RestoreTarget> {
    const server = await EtcdServer.start(etcd, { args });
    return new RestoreTarget(server, await connectV3(clusterOptions(server.endpoint)));
  }

  /** Restores records, through another connection if one is given. */
  restore(
    records: readonly KeyValue[],
    options: RestoreV3Options & { readonly through?: V3Cluster } = {},
    made: MadeSource = {},
  ): Promise<RestoreV3Report> {
    const { through, ...rest } = options;
    return restoreLiveV3(sourceOf(records, made), through ?? this.cluster, rest, quietRun());
  }

  async put(key: string | Buffer, value: string | Buffer, lease = 0n): Promise<void> {
    const put = { kind: 'put', key: Buffer.from(key), value: Buffer.from(value), lease } as const;
    await this.cluster.call('KV/Txn', encodeTxn({ compares: [], success: [put], failure: [] }));
  }

  /** All keys under a prefix, as they are now. */
  async dump(prefix: string): Promise<KeyValue[]> {
    const rangeEnd = Buffer.from(prefix);
    rangeEnd[rangeEnd.length - 1] = (rangeEnd.at(-1) as number) + 1;
    const { records } = decodeRangeResponse(await this.cluster.call('KV/Range', encodeRange({ key: Buffer.from(prefix), rangeEnd })));
    return Array.from({ length: records.count }, (_, i) => decodeKeyValue(recordAt(records, i)));
  }

  /** Keys and values under a prefix, as text. */
  async texts(prefix: string): Promise<Record<string, string>> {
    return Object.fromEntries((await this.dump(prefix)).map(({ key, value }) => [key.toString(), value.toString()]));
  }

  async revision(): Promise<bigint> {
    return (await this.cluster.status()).revision;
  }

  /** The connection with its raw calls watched, or tampered with. */
  watched(call: (request: Uint8Array, method: string, pass: () => Promise<Buffer>) => Promise<Buffer>): V3Cluster {
    return new Proxy(this.cluster, {
      get: (target, name) => {
        if (name === 'call') {
          const tampered: V3Cluster['call'] = (method, request, options) =>
            call(request, method, () => target.call(method, request, options));
          return tampered;
        }
        const member: unknown = Reflect.get(target, name);
        return typeof member === 'function' ? member.bind(target) : member;
      },
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.cluster.close();
    await this.server.stop();
  }
}
