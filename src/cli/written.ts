import type { WriteReport } from '../jobs/write-live.js';
import { formatBytes, plural } from './format.js';

/** What was written into a live cluster, as one line without its end. */
export function writtenText(written: WriteReport, what: 'key' | 'node'): string {
  const counts = { deleted: 0, leasesGranted: 0, ...written };
  const to = written.dryRun ? 'to be ' : '';
  const parts = [
    `${written.dryRun ? 'would write' : 'wrote'} ${plural(written.written, what)} (${formatBytes(written.bytes)})`,
    ...some(counts.overwritten, `${what} ${to}overwritten`, `${what}s ${to}overwritten`),
    ...some(counts.equal, `${what} already equal`, `${what}s already equal`),
    ...some(counts.skipped, `${what} skipped`, `${what}s skipped`),
    ...some(counts.leftOut, `${what} left out`, `${what}s left out`),
    ...some(counts.deleted, `extra key ${to}deleted`, `extra keys ${to}deleted`),
    ...some(counts.leasesGranted, `lease ${to}granted`, `leases ${to}granted`),
  ];
  return parts.join(', ');
}

function some(count: number, singular: string, several: string): string[] {
  return count === 0 ? [] : [plural(count, singular, several)];
}
