import type { V3Cluster } from '../cluster/v3.js';
import { prefixEnd } from '../selection/prefix.js';
import { keysOf } from '../wire/keyvalue.js';
import { decodeRangeResponse } from '../wire/rpc.js';
import { encodeRange } from '../wire/rpc-request.js';

const SLASH = 0x2f;
/** Names asked for below one directory, each with a request. */
const MOST_NAMES = 300;
const TO_THE_END: Buffer = Buffer.from([0]);

/**
 * Keys near to prefixes, as few as tell what there is beside them: one of each name in the nearest directory above a
 * prefix that holds any.
 *
 * @param revision the keys are looked for at
 * @throws FerryError as the cluster does
 */
export async function* keysNear(cluster: Pick<V3Cluster, 'call'>, revision: bigint, prefixes: readonly Buffer[]): AsyncGenerator<Buffer> {
  for (const prefix of prefixes.length === 0 ? [Buffer.alloc(0)] : prefixes) {
    for (const directory of directoriesOf(prefix)) {
      let found = false;
      for await (const key of namesIn(cluster, revision, directory)) {
        found = true;
        yield key;
      }
      if (found) break;
    }
  }
}

/** What a prefix lies in, from the nearest on; at last nothing. */
function directoriesOf(prefix: Buffer): Buffer[] {
  const directories: Buffer[] = [];
  for (let end = prefix.lastIndexOf(SLASH); end > 0; end = prefix.lastIndexOf(SLASH, end - 1))
    directories.push(prefix.subarray(0, end + 1));
  return [...directories, Buffer.alloc(0)];
}

/** A key of each name in a directory. */
async function* namesIn(cluster: Pick<V3Cluster, 'call'>, revision: bigint, directory: Buffer): AsyncGenerator<Buffer> {
  const rangeEnd = prefixEnd(directory) ?? TO_THE_END;
  let from: Buffer | undefined = directory.length === 0 ? TO_THE_END : directory;
  for (let names = 0; from !== undefined && names < MOST_NAMES; names++) {
    const answer = await cluster.call('KV/Range', encodeRange({ key: from, rangeEnd, revision, limit: 1, keysOnly: true }));
    const [key] = keysOf(decodeRangeResponse(answer).records);
    if (key === undefined) return;
    yield key;
    const slash = key.indexOf(SLASH, directory.length + (key[directory.length] === SLASH ? 1 : 0));
    const name: Buffer = slash < 0 ? key : key.subarray(0, slash + 1);
    from = slash < 0 ? Buffer.concat([name, Buffer.of(0)]) : prefixEnd(name);
    if (from !== undefined && !rangeEnd.equals(TO_THE_END) && Buffer.compare(from, rangeEnd) >= 0) return;
  }
}
