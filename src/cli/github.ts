import { appendFile } from 'node:fs/promises';
import { FerryError } from '../errors.js';
import { withoutCommands } from '../model/shown-text.js';
import { say, type Terminal } from './terminal.js';
import type { Verdict } from './verify-report.js';

/**
 * Tells GitHub Actions what was found, where it runs us (`GITHUB_ACTIONS`): an annotation for each
 * location that did not pass, on stderr, which the runner reads as it does stdout; and a summary of the
 * step in Markdown (`GITHUB_STEP_SUMMARY`).
 */
export async function tellGitHub(verdicts: readonly Verdict[], terminal: Terminal): Promise<void> {
  if (terminal.env.GITHUB_ACTIONS !== 'true') return;
  for (const verdict of verdicts) if (verdict.code !== undefined) terminal.stderr.write(`${annotation(verdict)}\n`);
  const path = terminal.env.GITHUB_STEP_SUMMARY;
  if (path === undefined || path === '') return;
  try {
    await appendFile(path, stepSummary(verdicts));
  } catch (thrown) {
    say(terminal, `warning: the step's summary was not written: ${FerryError.from(thrown, path).message}`);
  }
}

/** A workflow command, escaped as the runner undoes it (actions/toolkit, core/src/command.ts). */
export function annotation({ location, code, line, details }: Verdict): string {
  const level = code === 'incomplete' ? 'warning' : 'error';
  const message = withoutCommands([`${location}: ${line}`, ...details].join('\n'));
  return `::${level} title=${property(`etcdferry verify: ${code}`)}::${data(message)}`;
}

function data(text: string): string {
  return text.replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A');
}

function property(text: string): string {
  return data(text).replaceAll(':', '%3A').replaceAll(',', '%2C');
}

/** A table in Markdown, in which nothing of an archive can become markup. */
export function stepSummary(verdicts: readonly Verdict[]): string {
  const failed = verdicts.filter(({ code }) => code !== undefined).length;
  const rows = verdicts.map(
    ({ location, code, line, seconds }) =>
      `| ${code === undefined ? '✅' : code === 'incomplete' ? '⚠️' : '❌'} | ${cell(location)} | ${cell(line)} | ${seconds.toFixed(1)} s |`,
  );
  const head = `### etcdferry verify: ${failed === 0 ? `${verdicts.length} passed` : `${failed} of ${verdicts.length} did not pass`}`;
  return `${head}\n\n| | location | found | time |\n|---|---|---|---:|\n${rows.join('\n')}\n\n`;
}

function cell(text: string): string {
  const plain = text.replace(/\s+/g, ' ').replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
  return plain.replace(/[\\`*_{}[\]()#+!|~@:-]/g, (character) => `&#${character.charCodeAt(0)};`);
}
