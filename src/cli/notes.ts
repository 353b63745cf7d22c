import type { Note } from '../model/note.js';
import { harmless, harmlessLine } from '../model/shown-text.js';
import { formatCount } from './format.js';
import { say, type Terminal } from './terminal.js';

/** Writes what a run noticed to stderr, a line each, lossy ones marked. */
export function sayNotes(terminal: Terminal, notes: readonly Note[]): void {
  for (const note of notes) {
    const examples =
      note.examples.length === 0 ? '' : ` (${note.examples.map(harmless).join(', ')}${note.count > note.examples.length ? ', …' : ''})`;
    say(terminal, `${note.lossy ? 'LEFT OUT OR ALTERED' : 'note'}: ${harmlessLine(note.message)}: ${formatCount(note.count)}${examples}`);
  }
}

/** 3 when a note is lossy, else 0. */
export function exitOfNotes(notes: readonly Note[]): number {
  return notes.some((note) => note.lossy) ? 3 : 0;
}
