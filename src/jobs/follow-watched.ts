import type { V2Cluster } from '../cluster/v2.js';
import { commonDirectory } from '../cluster/v2-read-directories.js';
import { directoriesOf } from '../convert/v2-select.js';
import { FerryError } from '../errors.js';
import type { SourceRequest } from '../locations/source.js';
import { isCleanPath, isHidden } from '../model/tree-path.js';

/** What is watched of a tree. */
export interface Watched {
  /** A directory; empty for the root. Its changes are carried over one by one. */
  readonly main: Buffer;
  /** Whose changes have the tree read anew. */
  readonly others: readonly Buffer[];
}

/**
 * Nothing is watched but the directories that hold what was chosen: more may not be allowed. They are
 * watched together where that is, else one by one; hidden ones always are.
 */
export async function watchedPaths(
  source: V2Cluster,
  { selection, includeHidden = [] }: Pick<SourceRequest, 'selection' | 'includeHidden'>,
  signal: AbortSignal,
): Promise<Watched> {
  const directories = directoriesOf(selection);
  const listed = directories.filter((path) => !isHidden(path));
  const hidden = [...directories, ...selection.prefixes.filter((prefix) => isCleanPath(prefix))].filter((path) => isHidden(path));
  const others = [...includeHidden.map((path) => Buffer.from(path)), ...hidden];
  const common = commonDirectory(listed);
  const [first = hidden[0], ...rest] = listed;
  if (first === undefined || rest.length === 0) return { main: first ?? common, others };
  try {
    await source.get(withSlash(common), signal);
    return { main: common, others };
  } catch (thrown) {
    if (FerryError.from(thrown).code !== 'unauthorized') throw thrown;
    return { main: first, others: [...others, ...rest.map(withSlash)] };
  }
}

/** A permission of `/app/*` covers the directory with its slash alone. */
export function withSlash(directory: Buffer): Buffer {
  return directory.length === 0 ? directory : Buffer.concat([directory, Buffer.from('/')]);
}
