import { FerryError } from '../errors.js';
import type { NoteBook } from '../model/note.js';
import type { RaisedAlarm } from '../model/source.js';
import type { BackendView } from '../wire/backend.js';

/** etcd rpc.proto, AlarmType. */
const NAMES: Readonly<Record<number, string>> = { 1: 'NOSPACE', 2: 'CORRUPT' };

/**
 * The alarms raised in a file.
 *
 * @param strict whether a bucket of alarms that cannot be read is damage; else nothing is told of them: what else the file
 * holds may be read all the same
 * @throws FerryError `damaged`
 */
export async function readAlarms(backend: BackendView, strict: boolean): Promise<readonly RaisedAlarm[] | undefined> {
  try {
    return (await backend.alarms()).map(({ memberId, alarm }) => ({ memberId, alarm: NAMES[alarm] ?? String(alarm) }));
  } catch (thrown) {
    if (!strict && thrown instanceof FerryError && thrown.code === 'damaged') return undefined;
    throw thrown;
  }
}

/** Notes them: whoever restores the file finds a cluster that refuses writes, or all of its work. */
export function noteAlarms(notes: NoteBook, alarms: readonly RaisedAlarm[] = []): void {
  for (const { memberId, alarm } of alarms) {
    notes.add(
      'alarm-raised',
      'alarms are raised in it, and in a cluster restored from it as it is: there etcdctl alarm disarm ends them; an archive or a new .db has none',
      { example: `${alarm} (member ${BigInt.asUintN(64, memberId).toString(16)})` },
    );
  }
}
