import type { ChangedPart } from '../compare/parts.js';
import { formatKey } from '../convert/key-text.js';
import type { DiffEntry } from '../jobs/diff.js';
import type { Entry } from '../jobs/entries.js';
import type { ReadableValue } from '../jobs/readable-value.js';
import { unifiedDiff } from '../jobs/unified-diff.js';
import { harmless, harmlessBlock } from '../model/shown-text.js';
import type { Api } from '../model/source.js';
import { formatBytes, plural } from './format.js';
import { hexId } from './json.js';
import type { Colour, Paint } from './paint.js';

/** Lines shown of one key's changes, and of a text that is only on one side. */
const LINES_OF_CHANGE = 200;
const LINES_OF_TEXT = 6;
/** Characters shown of one line, and of what stands before the place where two lines part. */
const WIDEST = 240;
const BEFORE_PARTING = 60;
/** Bytes up to which what is no text is shown, in base64. */
const SHORT_BINARY = 48;

const SIGNS = { added: '+', removed: '-', changed: '~' } as const;
const COLOURS: Readonly<Record<string, Colour>> = { '+': 'green', '-': 'red', '~': 'yellow', '@': 'cyan' };

/** A difference with its values made readable. */
export interface ShownDifference extends DiffEntry {
  readonly leftValue: ReadableValue | undefined;
  readonly rightValue: ReadableValue | undefined;
}

/** A difference as people read it: a line that begins with `+`, `-` or `~` and the key, what differs below it. */
export function differenceText(shown: ShownDifference, paint: Paint): string {
  const sign = SIGNS[shown.kind];
  const entry = shown.right ?? shown.left;
  const head = `${sign} ${formatKey(shown.key)}${entry?.dir === true && shown.kind !== 'changed' ? '/' : ''}`;
  const about = aboutText(shown);
  const lines = [paint(COLOURS[sign] as Colour, head) + (about === '' ? '' : paint('dim', `  ${about}`)), ...below(shown, paint)];
  return `${lines.join('\n')}\n`;
}

/** What it is, after the key: `Deployment, 1.2 KiB`. */
function aboutText({ kind, left, right, leftValue, rightValue }: ShownDifference): string {
  const value = rightValue ?? leftValue;
  if (value === undefined || (left ?? right)?.dir === true) return '';
  const what = [rightValue?.kind ?? '', leftValue?.kind ?? ''].filter((name) => name !== '').slice(0, 1);
  if (kind === 'changed') return what.map(harmless).join('');
  const isShown = value.json === undefined && value.text !== undefined;
  return [...what.map(harmless), ...(isShown ? [] : [formatBytes((right ?? left)?.value.length ?? 0)])].join(', ');
}

function below(shown: ShownDifference, paint: Paint): string[] {
  const { api, left, right, leftValue, rightValue, parts } = shown;
  if (left !== undefined && right !== undefined) {
    const numbers = parts.flatMap((part) => partText(part, left, right, api));
    const value =
      parts.includes('value') && leftValue !== undefined && rightValue !== undefined ? changeLines(leftValue, rightValue, shown) : [];
    return [...numbers, ...value].map((line) => `  ${painted(line, paint)}`);
  }
  const value = rightValue ?? leftValue;
  if (value === undefined || value.json !== undefined || value.text === undefined || value.text === '') return [];
  const lines = value.text.replace(/\n$/, '').split('\n');
  const sign = right === undefined ? '-' : '+';
  const kept = lines.slice(0, LINES_OF_TEXT).map((line) => `${sign} ${cut(line)}`);
  return [...kept, ...more(lines.length - LINES_OF_TEXT, 'line')].map((line) => `  ${painted(line, paint)}`);
}

function partText(part: ChangedPart, left: Entry, right: Entry, api: Api): string[] {
  const what = api === 'v2' ? 'index' : 'revision';
  switch (part) {
    case 'value':
      return [];
    case 'dir':
      return [left.dir ? 'a directory → a value' : 'a value → a directory'];
    case 'create':
      return [`create ${what}: ${left.created} → ${right.created}`];
    case 'mod':
      return [`mod ${what}: ${left.modified} → ${right.modified}`];
    case 'version':
      return [`version: ${left.version} → ${right.version}`];
    case 'lease':
      return [`lease: ${leaseText(left)} → ${leaseText(right)}`];
  }
}

function leaseText({ lease, expiration }: Entry): string {
  if (expiration !== 0n) return 'expires';
  return lease === 0n ? 'none' : hexId(lease);
}

/** The change of a value: of texts as a unified diff, of anything else by size. */
function changeLines(left: ReadableValue, right: ReadableValue, { key }: DiffEntry): string[] {
  if (left.text === undefined || right.text === undefined) return [`- ${opaqueText(left)}`, `+ ${opaqueText(right)}`];
  const lines = unifiedDiff(left.text, right.text);
  if (lines === undefined) return [`too much of it differs to be shown: ${sizeText(left)} → ${sizeText(right)}`];
  // The same text to the letter, stored in another form: JSON and protobuf, say.
  if (lines.length === 0) return [`the same content, stored otherwise: ${sizeText(left)} → ${sizeText(right)}`];
  const isOneLine = !left.text.trimEnd().includes('\n') && !right.text.trimEnd().includes('\n');
  const shown = isOneLine ? lines.slice(1) : lines;
  const kept = cutPairs(shown.slice(0, LINES_OF_CHANGE));
  return [...kept, ...more(shown.length - LINES_OF_CHANGE, 'line', `: etcdferry get LOC ${formatKey(key)}`)];
}

function opaqueText({ bytes, kind, text, locked }: ReadableValue): string {
  if (locked !== undefined) return `encrypted with ${locked.provider}, key ${harmless(locked.keyName)}, ${formatBytes(bytes.length)}`;
  if (text !== undefined) return `${kind === '' ? 'text' : harmless(kind)}, ${formatBytes(bytes.length)}`;
  return `${formatBytes(bytes.length)}${bytes.length <= SHORT_BINARY ? ` base64:${bytes.toString('base64')}` : ' of binary data'}`;
}

function sizeText({ bytes }: ReadableValue): string {
  return formatBytes(bytes.length);
}

function more(count: number, what: string, how = ''): string[] {
  return count > 0 ? [`… ${plural(count, `more ${what}`)}${how}`] : [];
}

/** Cuts long lines; of two that replace each other the part where they differ is shown. */
function cutPairs(lines: readonly string[]): string[] {
  return lines.map((line, i) => {
    const [before, after] = [lines[i - 1] ?? '', lines[i + 1] ?? ''];
    const other = line.startsWith('-') && after.startsWith('+') ? after : line.startsWith('+') && before.startsWith('-') ? before : line;
    const from = line.length <= WIDEST ? 0 : Math.max(0, parting(line, other) - BEFORE_PARTING);
    return `${spaced(line.slice(0, 1))}${from > 1 ? '…' : ''}${cut(line.slice(Math.max(from, 1)))}`;
  });
}

/** `@@` lines have no sign of their own. */
function spaced(sign: string): string {
  return sign === '@' ? '@' : `${sign} `;
}

function parting(a: string, b: string): number {
  let at = 1;
  while (at < a.length && a[at] === b[at]) at++;
  return at === a.length ? 0 : at;
}

function cut(line: string): string {
  return harmlessBlock(line.length <= WIDEST ? line : `${line.slice(0, WIDEST)}… (${plural(line.length, 'character')})`);
}

function painted(line: string, paint: Paint): string {
  const colour = COLOURS[line.charAt(0)];
  return colour === undefined ? line : paint(colour, line);
}
