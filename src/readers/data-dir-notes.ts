import type { NoteBook } from '../model/note.js';
import type { ReplayReport } from '../replay/raft-log.js';

/**
 * Notes how the WAL ends: entries after its commit index, and a last record that was not wholly written
 * (never acknowledged: etcd answers when a record is on disk).
 *
 * @param included true when the entries after the commit index were asked for
 */
export function noteEndOfLog(notes: NoteBook, report: ReplayReport, included: boolean): void {
  if (report.uncommitted > 0) {
    const what = included ? 'replayed as asked for' : 'left out; etcd may have acknowledged some: --include-uncommitted takes them';
    notes.add('uncommitted-entries', `entries of the WAL after its commit index ${report.commit}, ${what}`, { count: report.uncommitted });
  }
  if (report.tornTail !== undefined) {
    const { segment, offset, reason } = report.tornTail;
    notes.add('wal-torn-tail', 'the WAL ends with a record that was not wholly written', {
      example: `${segment}, byte ${offset}: ${reason}`,
    });
  }
}
