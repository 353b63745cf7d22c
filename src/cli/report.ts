import type { Note } from '../model/note.js';
import { toJson } from './json.js';
import { exitOfNotes, sayNotes } from './notes.js';
import { put, say, type Terminal } from './terminal.js';

/** How the report of a run that wrote something is told. */
export interface Report {
  /** One line for people. */
  readonly summary: string;
  /** What `--json` prints. */
  readonly document: object;
  readonly notes: readonly Note[];
  /** stdout holds an archive, so the document goes to stderr. */
  readonly stdoutTaken: boolean;
}

/**
 * Tells what a run did: the document where JSON is wanted, else a line and the notes on stderr.
 *
 * @returns the exit status: 3 when something was left out or altered, else 0
 */
export async function tellReport(
  report: Report,
  args: { readonly json?: boolean | undefined; readonly quiet?: boolean | undefined },
  terminal: Terminal,
): Promise<number> {
  const { summary, document, notes, stdoutTaken } = report;
  if (args.json !== true) {
    const fields = terminal.logFormat === 'json' ? (JSON.parse(toJson(document)) as object) : {};
    if (args.quiet !== true) say(terminal, summary, { level: 'info', event: 'report', message: summary, report: fields });
    sayNotes(terminal, args.quiet === true ? notes.filter((note) => note.lossy) : notes);
  } else if (stdoutTaken) terminal.stderr.write(`${toJson(document)}\n`);
  else await put(terminal, `${toJson(document)}\n`);
  return exitOfNotes(notes);
}
