import type { EtcdServer } from './etcd.js';

interface PrintedKey {
  readonly key: string;
  readonly value?: string;
  readonly lease?: string;
  readonly mod_revision: number;
}

/** Everything a live cluster holds, told by etcdctl: key and value (base64) and whether a lease is attached, a line each. */
export async function keysAndValues(server: EtcdServer): Promise<string[]> {
  return (await printedKeys(server)).map(({ key, value, lease }) => `${key} ${value ?? ''} ${lease ?? 'none'}`);
}

/** The revision the cluster stands at. */
export async function revisionOf(server: EtcdServer): Promise<number> {
  const status = JSON.parse(await server.etcdctl('endpoint', 'status', '-w', 'json')) as [{ Status: { header: { revision: number } } }];
  return status[0].Status.header.revision;
}

/**
 * Keys in key order. Lease ids above 2^53 lose digits in JSON.parse, on both sides of a comparison
 * alike, so they are kept as text.
 */
async function printedKeys(server: EtcdServer): Promise<PrintedKey[]> {
  const text = await server.etcdctl('get', '', '--from-key', '-w', 'json');
  const exact = text.replace(/"lease":(\d+)/g, '"lease":"$1"');
  return (JSON.parse(exact) as { kvs?: PrintedKey[] }).kvs ?? [];
}
