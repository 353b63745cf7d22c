import type { FerryError } from '../errors.js';
import { exitOfResult, notesOfResult, type VerifyResult } from '../jobs/verify.js';
import { harmless, harmlessLine } from '../model/shown-text.js';
import { toJson } from './json.js';
import { resultJson, summaryJson } from './verify-json.js';
import { failedText, passedText } from './verify-text.js';

/** What became of one location, in the words of those who read reports. */
export interface Verdict {
  readonly location: string;
  readonly exit: number;
  /** Code of the failure, `differs` or `incomplete`; undefined for what passed. */
  readonly code: FerryError['code'] | undefined;
  /** One line, without the location before it. */
  readonly line: string;
  /** What more there is to say. */
  readonly details: readonly string[];
  readonly seconds: number;
}

/** Boils a result down to what reports tell of it, harmless wherever it is shown. */
export function verdictOf(result: VerifyResult): Verdict {
  const location = harmless(result.location);
  const exit = exitOfResult(result);
  if (result.error !== undefined) {
    const { code, hint } = result.error;
    return {
      location,
      exit,
      code,
      line: behind(failedText(result), location),
      details: hint === undefined ? [] : [harmlessLine(hint)],
      seconds: 0,
    };
  }
  const [line = '', ...details] = passedText(result).split('\n');
  const notes = notesOfResult(result).map(
    (note) => `${note.lossy ? 'LEFT OUT OR ALTERED' : 'note'}: ${harmlessLine(note.message)}: ${note.count}`,
  );
  const code = exit === 4 ? 'differs' : exit === 3 ? 'incomplete' : undefined;
  return { location, exit, code, line: behind(line, location), details: [...details, ...notes], seconds: result.milliseconds / 1000 };
}

function behind(line: string, location: string): string {
  const before = `${location}: `;
  return line.startsWith(before) ? line.slice(before.length) : line;
}

/** The report as one JSON document. */
export function reportJson(results: readonly VerifyResult[], exit: number): string {
  const document = { schema: 'etcdferry.verify-report/v1', results: results.map(resultJson), summary: summaryJson(results, exit) };
  return `${toJson(document)}\n`;
}

/**
 * The report as JUnit XML, as CI servers read it (the schema of Jenkins' xunit plugin): a test case
 * for each location.
 */
export async function reportJunit(verdicts: readonly Verdict[], startedAt: Date): Promise<string> {
  const { create } = await import('xmlbuilder2');
  const failed = verdicts.filter(({ code }) => code !== undefined).length;
  const seconds = verdicts.reduce((sum, verdict) => sum + verdict.seconds, 0).toFixed(3);
  const counts = { tests: verdicts.length, failures: failed, errors: 0, time: seconds };
  const document = create({ version: '1.0', encoding: 'UTF-8', invalidCharReplacement: '\uFFFD' });
  const suite = document
    .ele('testsuites', { name: 'etcdferry', ...counts })
    .ele('testsuite', { name: 'etcdferry verify', ...counts, skipped: 0, timestamp: startedAt.toISOString() });
  for (const { location, exit, code, line, details, seconds: took } of verdicts) {
    const test = suite.ele('testcase', { classname: 'etcdferry.verify', name: location, time: took.toFixed(3) });
    const all = [line, ...details].join('\n');
    if (code === undefined) test.ele('system-out').txt(all);
    else test.ele('failure', { type: code, message: line }).txt(`${all}\nexit status ${exit}`);
  }
  return `${document.end({ prettyPrint: true })}\n`;
}
