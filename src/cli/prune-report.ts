import type { PruneReport } from '../jobs/prune.js';
import { harmless } from '../model/shown-text.js';
import { formatBytes, plural } from './format.js';

/** What pruning did, as one line. */
export function pruneText(report: PruneReport): string {
  const done = report.dryRun ? 'would remove' : 'removed';
  return `${done} ${plural(report.removed, 'archive')} (${formatBytes(report.freed)}) from ${harmless(report.location)}, ${report.kept} kept`;
}

/** The document that `prune --json` prints. */
export function pruneJson(report: PruneReport): object {
  const { location, dryRun, kept, removed, freed } = report;
  return {
    schema: 'etcdferry.prune/v1',
    location,
    dryRun,
    archives: report.decisions.map(({ archive, keep, reasons }) => ({
      file: archive.file,
      name: archive.name,
      time: new Date(archive.time).toISOString(),
      size: archive.size,
      verified: archive.verified,
      keep,
      reasons,
    })),
    kept,
    removed,
    freedBytes: freed,
  };
}
