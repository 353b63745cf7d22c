import type { BackupReport } from '../jobs/backup.js';
import type { PruneReport } from '../jobs/prune.js';
import { harmless } from '../model/shown-text.js';
import { storedJson } from './backup-target.js';
import { formatBytes, formatDuration, plural } from './format.js';
import { archiveJson, hexId, notesJson } from './json.js';
import { pruneJson } from './prune-report.js';

/** What a backup did, as one line. */
export function backupText(report: BackupReport, milliseconds: number): string {
  const { archive, source } = report;
  const what = `${plural(archive.records, source.api === 'v2' ? 'node' : 'key')} (${formatBytes(archive.rawBytes)})`;
  const at = `${source.api === 'v2' ? 'index' : 'revision'} ${source.revision}`;
  const done = report.dryRun ? 'would back up' : 'backed up';
  if (report.stored?.unchanged === true) {
    return `nothing was written: ${what} at ${at} are unchanged since ${harmless(report.to)} (${formatDuration(milliseconds)})`;
  }
  return `${done} ${what} at ${at} to ${harmless(report.to)} (${formatBytes(archive.size)}) in ${formatDuration(milliseconds)}`;
}

/** The document that `backup --json` prints. */
export function backupJson(report: BackupReport, milliseconds: number, pruned?: PruneReport): object {
  const { archive, source } = report;
  return {
    schema: 'etcdferry.backup/v1',
    dryRun: report.dryRun,
    source: {
      kind: source.kind,
      location: source.location,
      api: source.api,
      ...(source.clusterId === undefined ? {} : { clusterId: hexId(source.clusterId) }),
      ...(source.memberId === undefined ? {} : { memberId: hexId(source.memberId) }),
      ...(source.serverVersion === undefined ? {} : { serverVersion: source.serverVersion }),
    },
    [source.api === 'v2' ? 'index' : 'revision']: source.revision,
    archive: archiveJson(archive, report.to),
    ...storedJson(report),
    restarts: report.restarts,
    seconds: Math.round(milliseconds) / 1000,
    ...(pruned === undefined ? {} : { prune: pruneJson(pruned) }),
    notes: notesJson(report.notes),
  };
}
