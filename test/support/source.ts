import type { AuthData } from '../../src/model/auth.js';
import { batchOf, type RecordBatch } from '../../src/model/batch.js';
import type { KeyValue } from '../../src/model/keyvalue.js';
import type { Lease } from '../../src/model/lease.js';
import { NoteBook } from '../../src/model/note.js';
import { EVERYTHING, type KeySelection, type ObjectSelection, type Source } from '../../src/model/source.js';
import { encodeKeyValue } from '../../src/wire/keyvalue.js';

export interface MadeSource {
  readonly leases?: readonly Lease[];
  readonly auth?: AuthData;
  /** Records in a batch; default 1000. */
  readonly batch?: number;
  /** What the source itself was restricted to. */
  readonly selection?: KeySelection;
  readonly objects?: readonly ObjectSelection[];
  /** True unless given. */
  readonly isSelectionKnown?: boolean;
  /** Called before each batch is handed out. */
  readonly onBatch?: (index: number) => void | Promise<void>;
}

/** A v3 source made by hand; records are sorted by key, and can be read any number of times. */
export function sourceOf(records: readonly KeyValue[], made: MadeSource = {}): Source {
  const sorted = [...records].sort((a, b) => Buffer.compare(a.key, b.key));
  const size = made.batch ?? 1000;
  return {
    info: {
      kind: 'archive',
      api: 'v3',
      order: 'key',
      location: 'made by hand',
      revision: 1000n,
      startedAt: 0,
      selection: made.selection ?? EVERYTHING,
      ...(made.isSelectionKnown === false ? {} : { isSelectionKnown: true }),
      ...(made.objects === undefined ? {} : { objects: made.objects }),
    },
    notes: new NoteBook(),
    async *leases() {
      if (made.leases !== undefined && made.leases.length > 0) yield made.leases;
    },
    auth: async () => made.auth,
    async *records(): AsyncGenerator<RecordBatch> {
      for (let at = 0; at < sorted.length; at += size) {
        await made.onBatch?.(at / size);
        yield batchOf(sorted.slice(at, at + size).map(encodeKeyValue));
      }
    },
    close: async () => {},
  };
}

/** A record with the fields that matter to a writer. */
export function kv(key: string | Buffer, value: string | Buffer = '', lease = 0n): KeyValue {
  return { key: Buffer.from(key), value: Buffer.from(value), createRevision: 7n, modRevision: 9n, version: 2n, lease };
}

/** A lease as a source saw it. */
export function lease(id: bigint, grantedTtl: bigint, remainingTtl: bigint = grantedTtl, seenAt: number = Date.now()): Lease {
  return { id, grantedTtl, remainingTtl, seenAt, origin: 'lease' };
}
