import { EVERYTHING, type Source, type SourceInfo } from '../model/source.js';
import { isHidden, isListed } from '../model/tree-path.js';
import { isSelected } from '../selection/select.js';
import { SAME_KEYS } from './key-mapping.js';
import type { ConvertTreeOptions } from './v2-to-v3.js';

const SLASH = 0x2f;

/** What of a conversion says which keys there would be. */
export type SpeakingOptions = Pick<ConvertTreeOptions, 'mapping' | 'selection' | 'hidden' | 'hiddenMissing' | 'emptyDirs'>;

/**
 * Tells of a name in the target whether its key would be among those that a tree becomes, if the node was there: every
 * node that could have got that name is one that was asked for and that the source was taken with. Only then does its
 * absence say that it is gone.
 */
export function spokenFor(source: Source, options: SpeakingOptions): (name: Buffer) => boolean {
  const { mapping = SAME_KEYS, selection = EVERYTHING } = options;
  if (!knowsItsNodes(source)) return () => false;
  return (name) => {
    const paths = mapping.keysNamed(name).map(pathOf);
    const asked = paths.filter(({ path }) => isSelected(path, selection));
    return (
      asked.length > 0 &&
      asked.every(({ path, isMarker }) => tells(source.info, path, options) && (!isMarker || options.emptyDirs === 'marker'))
    );
  };
}

/** Not where nothing says what was left out, nor where objects were chosen that this request did not choose itself. */
function knowsItsNodes({ info, objectsSeen }: Source): boolean {
  return info.isSelectionKnown === true && (info.objects ?? []).every((objects) => objects === objectsSeen?.selection);
}

/** The path of a node by its key: that of an empty directory ends in a slash more. */
function pathOf(key: Buffer): { readonly path: Buffer; readonly isMarker: boolean } {
  const isMarker = key.length > 1 && key[key.length - 1] === SLASH;
  return { path: isMarker ? key.subarray(0, -1) : key, isMarker };
}

function tells({ selection, hiddenTold = [] }: SourceInfo, path: Buffer, { hidden, hiddenMissing = [] }: SpeakingOptions): boolean {
  if (!isSelected(path, selection)) return false;
  if (!isHidden(path)) return true;
  if (hidden === 'drop') return false;
  return hiddenTold === 'all' || [...hiddenTold, ...hiddenMissing].some((told) => path.equals(told) || isListed(path, told));
}
