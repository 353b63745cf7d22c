import { Readable } from 'node:stream';
import type { SourceRequest } from '../locations/source.js';
import { EVERYTHING } from '../model/source.js';
import type { MigrateOptions } from './migrate.js';

const SLASH = Buffer.from('/');

/**
 * The target of a migration as a source, to be read back: of a cluster no more than where the tree's
 * keys lie.
 *
 * @returns undefined for stdout, and for what is encrypted for somebody else: neither can be read back
 */
export function readBackRequest({ to, from, write }: MigrateOptions): SourceRequest | undefined {
  const rest = { tmpDir: write.tmpDir, stdin: Readable.from([]) };
  if ('file' in to) {
    const { location, seal, s3 } = to.file;
    if (location.kind === 'stdio' || seal !== undefined) return undefined;
    return { ...rest, location, connection: {}, selection: EVERYTHING, ...(s3 === undefined ? {} : { s3 }) };
  }
  const { endpoints, connection } = to.live;
  const { prefixes: chosen } = from.selection;
  // An empty prefix beside others chooses everything, too.
  const isWhole = chosen.length === 0 || chosen.some((prefix) => prefix.length === 0);
  const prefixes = (isWhole ? [SLASH] : chosen).flatMap((prefix) => write.mapping?.mapPrefix(prefix) ?? [prefix]);
  return {
    ...rest,
    location: { kind: 'live', text: endpoints.join(','), endpoints },
    connection,
    api: 'v3',
    selection: { prefixes, excludePrefixes: [] },
  };
}
