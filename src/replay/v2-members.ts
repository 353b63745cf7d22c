import { FerryError } from '../errors.js';
import { CONF_ADD_LEARNER, CONF_ADD_NODE, CONF_REMOVE_NODE, CONF_UPDATE_NODE, type ConfChange } from '../wire/raft.js';
import type { V2Store } from './v2-store.js';

const EMPTY: Buffer = Buffer.alloc(0);
/** etcd allows one learner at a time (membership/cluster.go, maxLearners, up to 3.5). */
const MAX_LEARNERS = 1;

interface Member {
  readonly peerURLs: readonly string[];
  readonly isLearner: boolean;
}

/**
 * Does what a change of membership does to the v2 store (membership/cluster.go,
 * ValidateConfigurationChange and what follows it): only the index matters to a user's keys.
 *
 * @returns false when etcd would have refused the change
 */
export function applyConfChange(store: V2Store, change: ConfChange): boolean {
  const id = change.nodeId.toString(16);
  if (store.get(`/0/removed_members/${id}`) !== undefined) return false;
  const members = membersOf(store);
  switch (change.type) {
    case CONF_ADD_NODE:
    case CONF_ADD_LEARNER:
      return addMember(store, members, id, change.context);
    case CONF_REMOVE_NODE:
      if (!members.has(id)) return false;
      store.delete(memberPath(id), { dir: true, recursive: true });
      store.create(`/0/removed_members/${id}`, EMPTY, { expiration: 0n, dir: false, replace: false });
      return true;
    case CONF_UPDATE_NODE: {
      const member = parseMember(change.context);
      if (!members.has(id) || urlsTaken(members, member, id)) return false;
      return updateMember(store, id, member);
    }
    default:
      throw new FerryError('unknown-format', `a membership change of kind ${change.type} is not known`);
  }
}

/** Sets a member's attributes, if there is such a member. */
export function setMemberAttributes(store: V2Store, id: string, value: Buffer): void {
  if (store.get(memberPath(id)) === undefined) return;
  store.set(`${memberPath(id)}/attributes`, value, false, { expiration: 0n, refresh: false });
}

function addMember(store: V2Store, members: ReadonlyMap<string, Member>, id: string, context: Buffer): boolean {
  const member = parseMember(context);
  const there = members.get(id);
  if (member.isPromote) return there?.isLearner === true && updateMember(store, id, { ...there, isLearner: false });
  if (there !== undefined || urlsTaken(members, member, id)) return false;
  const learners = [...members.values()].filter((other) => other.isLearner).length;
  if (member.isLearner && learners >= MAX_LEARNERS) return false;
  return store.create(`${memberPath(id)}/raftAttributes`, raftAttributes(member), { expiration: 0n, dir: false, replace: false });
}

function updateMember(store: V2Store, id: string, member: Member): boolean {
  const options = { expiration: 0n, refresh: false, refuseDirectories: true };
  return store.update(`${memberPath(id)}/raftAttributes`, raftAttributes(member), options);
}

function urlsTaken(members: ReadonlyMap<string, Member>, member: Member, id: string): boolean {
  return [...members].some(([other, { peerURLs }]) => other !== id && peerURLs.some((url) => member.peerURLs.includes(url)));
}

function membersOf(store: V2Store): Map<string, Member> {
  const members = new Map<string, Member>();
  for (const [id, node] of store.get('/0/members')?.children ?? []) {
    members.set(id, parseMember(node.children?.get('raftAttributes')?.value ?? EMPTY));
  }
  return members;
}

function memberPath(id: string): string {
  return `/0/members/${id}`;
}

function raftAttributes({ peerURLs, isLearner }: Member): Buffer {
  return Buffer.from(JSON.stringify({ peerURLs, ...(isLearner ? { isLearner } : {}) }));
}

/** Ids are left alone: they do not fit a JSON number here, and the change has them. */
function parseMember(json: Buffer): Member & { readonly isPromote: boolean } {
  let parsed: { peerURLs?: unknown; isLearner?: unknown; isPromote?: unknown } | null = null;
  try {
    parsed = json.length === 0 ? {} : JSON.parse(json.toString());
  } catch (cause) {
    throw new FerryError('damaged', "a member's description is not JSON", { cause });
  }
  if (parsed === null || typeof parsed !== 'object') throw new FerryError('damaged', "a member's description is not an object");
  const urls = Array.isArray(parsed.peerURLs) ? parsed.peerURLs.filter((url): url is string => typeof url === 'string') : [];
  return { peerURLs: urls, isLearner: parsed.isLearner === true, isPromote: parsed.isPromote === true };
}
