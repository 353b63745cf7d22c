import type { Note } from '../model/note.js';

/**
 * What an archive keeps in its header where it was read from a member that may be behind its cluster, or wrong.
 *
 * @param doubt what speaks against the member, as text that goes on after it
 */
export function staleNote(doubt: string, location: string): Note {
  return {
    code: 'member-not-up-to-date',
    message: `read from a member that ${doubt}: it may lack what its cluster had acknowledged, or hold something else`,
    count: 1,
    examples: [location],
    lossy: false,
  };
}
