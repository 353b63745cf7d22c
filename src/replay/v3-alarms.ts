import type { V3Operation } from '../wire/raft-v3.js';

const NONE = 0;
const NOSPACE = 1;
const CORRUPT = 2;
const ACTIVATE = 1;
const DEACTIVATE = 2;

/** An `AlarmMember` of etcd's `alarm` bucket. */
export interface Alarm {
  readonly memberId: bigint;
  /** 1 NOSPACE, 2 CORRUPT. */
  readonly alarm: number;
}

/** The alarms that are raised, and what etcd refuses while they are (server/etcdserver/apply.go). */
export class V3Alarms {
  readonly #raised: Alarm[];

  constructor(raised: readonly Alarm[]) {
    this.#raised = [...raised];
  }

  apply(action: number, memberId: bigint, alarm: number): void {
    const at = this.#raised.findIndex((other) => other.memberId === memberId && other.alarm === alarm);
    if (action === ACTIVATE && alarm !== NONE && at < 0) this.#raised.push({ memberId, alarm });
    if (action === DEACTIVATE && at >= 0) this.#raised.splice(at, 1);
  }

  refuses(operation: V3Operation): boolean {
    if (this.#raised.length === 0) return false;
    const { kind } = operation;
    if (this.#has(CORRUPT) && kind !== 'auth' && kind !== 'lease-checkpoint' && kind !== 'alarm') return true;
    if (!this.#has(NOSPACE)) return false;
    if (kind === 'put' || kind === 'lease-grant') return true;
    return kind === 'txn' && [...operation.success, ...operation.failure].some((request) => request.kind === 'put');
  }

  #has(alarm: number): boolean {
    return this.#raised.some((raised) => raised.alarm === alarm);
  }
}
