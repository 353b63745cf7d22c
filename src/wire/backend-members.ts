import { FerryError } from '../errors.js';
import type { BoltFile } from './bbolt-file.js';

/**
 * The members with a vote that a backend tells, as of its `consistent_index`: by the `members` bucket, a JSON a member under its
 * id in hex (etcd server/storage/schema/membership.go), else by the `confState` that 3.5 and later keep in `meta` (confstate.go).
 *
 * @returns undefined where nothing is told
 * @throws FerryError `damaged` when a member's id or JSON does not parse
 */
export async function readVoters(bolt: BoltFile): Promise<bigint[] | undefined> {
  const buckets = await bolt.buckets();
  const members = buckets.get('members');
  const voters: bigint[] = [];
  let known = false;
  if (members !== undefined) {
    for await (const [key, value] of bolt.entries(members, 'members')) {
      known = true;
      const id = key.toString('latin1');
      if (!/^[0-9a-f]{1,16}$/.test(id))
        throw new FerryError('damaged', `${bolt.source.name}: a member is stored under ${key.toString('hex')}`);
      if (!isLearner(value, bolt.source.name)) voters.push(BigInt(`0x${id}`));
    }
  }
  return known ? voters : confStateVoters(bolt);
}

function isLearner(json: Buffer, name: string): boolean {
  try {
    return (JSON.parse(json.toString()) as { isLearner?: unknown } | null)?.isLearner === true;
  } catch (cause) {
    throw new FerryError('damaged', `${name}: a member is stored with what is no JSON`, { cause });
  }
}

async function confStateVoters(bolt: BoltFile): Promise<bigint[] | undefined> {
  const meta = (await bolt.buckets()).get('meta');
  if (meta === undefined) return undefined;
  for await (const [key, value] of bolt.entries(meta, 'meta')) {
    if (key.toString('latin1') !== 'confState') continue;
    // Ids have more digits than a number of JavaScript.
    const list = /"voters":\[([\d,]*)\]/.exec(value.toString())?.[1];
    return list === undefined ? undefined : list.split(',').filter(Boolean).map(BigInt);
  }
  return undefined;
}
