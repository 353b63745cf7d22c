import type { StoredAlarm } from '../wire/backend-messages.js';
import type { RequestOperation, V3Operation } from '../wire/raft-v3.js';
import type { V3Rules } from './v3-rules.js';

const NONE = 0;
const NOSPACE = 1;
const CORRUPT = 2;
const ACTIVATE = 1;
const DEACTIVATE = 2;

export type Alarm = StoredAlarm;

/** What stands before etcd's store while alarms are raised. */
interface Guards {
  readonly permissions: boolean;
  readonly noSpace: boolean;
  readonly corrupt: boolean;
}

/**
 * The alarms that are raised, and what etcd refuses while they are. From 3.6 on that follows from the alarms
 * (server/etcdserver/apply/uber_applier.go). Before, what is in force changes with the first alarm of a kind and the last:
 * a new one takes the place of whatever was there, the check of permissions too, and the end of one ends all
 * (server/etcdserver/apply.go, Alarm; server.go, restoreAlarms).
 */
export class V3Alarms {
  readonly #rules: V3Rules;
  readonly #raised: Alarm[];
  #guards: Guards;

  /** @param raised before the tail */
  constructor(raised: readonly Alarm[], rules: V3Rules) {
    this.#rules = rules;
    this.#raised = [...raised];
    this.#guards = this.#guardsOfAll();
  }

  get raised(): readonly Alarm[] {
    return this.#raised;
  }

  /** False while etcd applies operations without asking who may. */
  get judgesPermissions(): boolean {
    return this.#guards.permissions;
  }

  /** @returns false where it kills etcd */
  apply(action: number, memberId: bigint, alarm: number): boolean {
    const before = this.#count(alarm);
    const at = this.#raised.findIndex((other) => other.memberId === memberId && other.alarm === alarm);
    if (action === ACTIVATE && alarm !== NONE) {
      if (at < 0) this.#raised.push({ memberId, alarm });
      if (before === 0) return this.#begin(alarm);
    }
    if (action === DEACTIVATE && at >= 0) {
      this.#raised.splice(at, 1);
      if (this.#count(alarm) === 0) this.#end(alarm);
    }
    return true;
  }

  refuses(operation: V3Operation): boolean {
    const { noSpace, corrupt } = this.#guards;
    const { kind } = operation;
    if (corrupt && kind !== 'auth' && kind !== 'lease-checkpoint' && kind !== 'alarm') return true;
    if (!noSpace) return false;
    if (kind === 'put' || kind === 'lease-grant') return true;
    return kind === 'txn' && [...operation.success, ...operation.failure].some((request) => this.#takesSpace(request));
  }

  #takesSpace(request: RequestOperation): boolean {
    if (request.kind !== 'txn') return request.kind === 'put';
    if (!this.#rules.countsNestedPuts) return false;
    return [...request.success, ...request.failure].some((nested) => this.#takesSpace(nested));
  }

  #begin(alarm: number): boolean {
    if (this.#rules.judgesUnderAlarms) this.#guards = this.#guardsOfAll();
    else if (alarm === NOSPACE || alarm === CORRUPT) {
      this.#guards = { permissions: false, noSpace: alarm === NOSPACE, corrupt: alarm === CORRUPT };
    } else return !this.#rules.diesOfUnknownAlarms;
    return true;
  }

  #end(alarm: number): void {
    if (this.#rules.judgesUnderAlarms) this.#guards = this.#guardsOfAll();
    else if (alarm === NOSPACE || alarm === CORRUPT) this.#guards = { permissions: true, noSpace: false, corrupt: false };
  }

  #guardsOfAll(): Guards {
    return { permissions: true, noSpace: this.#count(NOSPACE) > 0, corrupt: this.#count(CORRUPT) > 0 };
  }

  #count(alarm: number): number {
    return this.#raised.filter((raised) => raised.alarm === alarm).length;
  }
}
