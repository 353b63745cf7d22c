import { type DocumentOptions, LineCounter, parseDocument } from 'yaml';
import type { FerryError } from '../errors.js';
import { isTooDeep } from './yaml-depth.js';

/**
 * Reads settings as YAML. They may be secrets: of text that is none, the code of the error and the line are told, and nothing of it.
 *
 * @param wrong what to throw: it is given what the text is or has, and where the line is known, that line, from 1 on
 * @param options the library's own, where one document alone is not what is wanted
 * @throws what `wrong` makes
 */
export function yamlSettings(text: string, wrong: (what: string, line?: number) => FerryError, options: DocumentOptions = {}): unknown {
  if (isTooDeep(text)) throw wrong('is nested too deep');
  const lines = new LineCounter();
  const document = parseDocument(text, { ...options, lineCounter: lines, prettyErrors: false });
  const [error] = document.errors;
  if (error !== undefined) {
    throw wrong(`is not YAML (${error.code.toLowerCase().replaceAll('_', ' ')})`, lines.linePos(error.pos[0]).line);
  }
  try {
    return document.toJS();
  } catch {
    // Aliases of nothing, or so many that the parser refuses them.
    throw wrong('has an alias that cannot be resolved');
  }
}
