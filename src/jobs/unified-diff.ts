import { structuredPatch } from 'diff';

/** Unchanged lines around each change. */
const CONTEXT = 3;
/** Lines added and removed together, beyond which two texts have too little in common to be laid side by side. */
const MOST_EDITS = 2_000;
const NO_NEWLINE = '\\ No newline at end of file';

/**
 * Two texts as the hunks of a unified diff, a line each: `@@ -1,4 +1,4 @@`, then lines that begin with a
 * space, `-` or `+`.
 *
 * @returns undefined when they have too little in common; nothing when they differ in nothing but a last newline
 */
export function unifiedDiff(left: string, right: string): string[] | undefined {
  const patch = structuredPatch('', '', withNewline(left), withNewline(right), '', '', { context: CONTEXT, maxEditLength: MOST_EDITS });
  return patch?.hunks.flatMap(({ oldStart, oldLines, newStart, newLines, lines }) => [
    `@@ -${oldStart},${oldLines} +${newStart},${newLines} @@`,
    ...lines.filter((line) => line !== NO_NEWLINE),
  ]);
}

function withNewline(text: string): string {
  return text.endsWith('\n') || text === '' ? text : `${text}\n`;
}
