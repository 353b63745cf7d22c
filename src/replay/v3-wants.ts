import type { RequestOperation, V3Operation } from '../wire/raft-v3.js';
import { KeyRanges } from './key-ranges.js';

/** What the operations of a tail look at in the state before them, so that one pass over it finds all. */
export class V3Wants {
  /** Leases; the keys attached to them are wanted too. */
  readonly leases = new Set<bigint>();
  /** Keys, as latin-1 strings, that a put keeps the lease of: whether it is there is wanted too. */
  readonly keptLeases = new Set<string>();
  readonly keys = new KeyRanges();
  /** Of these the value is wanted too. */
  readonly values = new KeyRanges();

  add(operation: V3Operation): void {
    switch (operation.kind) {
      case 'put':
      case 'delete':
      case 'txn':
      case 'read':
        this.#request(operation);
        break;
      case 'lease-grant':
      case 'lease-revoke':
        this.leases.add(operation.id);
        break;
      case 'lease-checkpoint':
        for (const { id } of operation.checkpoints) this.leases.add(id);
        break;
      default:
    }
  }

  #request(operation: RequestOperation): void {
    switch (operation.kind) {
      case 'put': {
        const range = { key: operation.key, end: undefined };
        this.keys.add(range);
        if (operation.ignoreValue) this.values.add(range);
        if (operation.ignoreLease) this.keptLeases.add(operation.key.toString('latin1'));
        if (operation.lease !== 0n) this.leases.add(operation.lease);
        break;
      }
      case 'delete':
        this.keys.add(operation.range);
        break;
      case 'txn':
        for (const { range, target } of operation.compares) {
          this.keys.add(range);
          if (target === 'value') this.values.add(range);
        }
        for (const request of operation.success) this.#request(request);
        for (const request of operation.failure) this.#request(request);
        break;
      default:
    }
  }
}
