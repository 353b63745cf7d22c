import fc from 'fast-check';
import { expect, test } from 'vitest';
import { html } from '../../src/cli/html.js';
import { type MigrationPage, migrationPage } from '../../src/cli/migrate-html.js';
import { exitOfMigration } from '../../src/cli/migrate-report.js';
import { EVERYTHING } from '../../src/model/source.js';

const EVIL = `<script>alert("1")</script><img src=x onerror='y'>&amp;`;

/** A report in which everything that may come from a source is `text`. */
function pageWith(text: string, differs = true): MigrationPage {
  const bytes = Buffer.from(text);
  const proof = { keys: 3, equal: 2, expired: 0, skipped: 0, differing: differs ? 1 : 0, leases: 1, revision: 7n, furthestEnd: 0.4 };
  return {
    facts: { milliseconds: 1234, startedAt: 0, toolVersion: '1' },
    rules: [{ rule: `--map ${text}=x`, byDefault: false, what: 'keys renamed', count: 2 }],
    report: {
      source: {
        kind: 'live',
        api: 'v2',
        order: 'tree',
        location: text,
        revision: 9n,
        startedAt: 0,
        selection: EVERYTHING,
        serverVersion: text,
      },
      keys: 3,
      to: text,
      dryRun: false,
      notes: [{ code: 'empty-directory', message: 'left out', count: 9, examples: [text], lossy: true }],
      counts: {
        ...{
          nodes: 5,
          directories: 2,
          hidden: 0,
          mortal: 0,
          expired: 0,
          emptyDirectories: 1,
          keys: 3,
          markers: 0,
          mortalKeys: 0,
          bytes: 12,
        },
        ...{ leases: 1, mapped: [], prefixes: [{ prefix: bytes, nodes: 5, keys: 3, bytes: 12, leftOut: 1 }] },
      },
      auth: {
        enabled: true,
        users: [{ name: text, roles: [text] }],
        roles: [{ name: text, permissions: [{ type: 'read', key: bytes, rangeEnd: Buffer.alloc(0) }] }],
      },
      proof: { ...proof, differences: differs ? [{ key: bytes, what: 'value' }] : [], strayLeases: 0, strays: [] },
      durations: [{ phase: 'writing', milliseconds: 7 }],
    },
  };
}

/** The text of a page with its markup taken away, and the markup. */
function taken(page: string): { readonly tags: string[]; readonly text: string } {
  return { tags: page.match(/<[^>]*>/g) ?? [], text: page.replace(/<style>[\s\S]*<\/style>/, '').replace(/<[^>]*>/g, '') };
}

test('whatever comes from the source is shown and never run', () => {
  const page = migrationPage(pageWith(EVIL));
  expect(page).not.toMatch(/<script|<img/);
  expect(page).toContain('&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;');
  expect(page).toContain("default-src 'none'");
  expect(page).not.toMatch(/https?:\/\/(?!127)/);
});

test('no text from the source changes the markup', () => {
  const plain = taken(migrationPage(pageWith('x'))).tags;
  fc.assert(
    fc.property(
      fc.string({ unit: 'binary', maxLength: 30 }),
      fc.constantFrom('<', '>', '"', "'", '&', '</code>', '<!--', ']]>'),
      (text, evil) => {
        expect(taken(migrationPage(pageWith(`${text}${evil}${text}`))).tags).toEqual(plain);
      },
    ),
    { numRuns: 25 },
  );
});

test('the verdict stands on top, and goes with the exit status', () => {
  const top = (page: MigrationPage): string => /<h1>(.*?)<\/h1>/.exec(migrationPage(page))?.[1] ?? '';
  expect(top(pageWith('x'))).toBe('1 key in the target is not as in the source');
  expect(exitOfMigration(pageWith('x').report)).toBe(4);
  expect(top(pageWith('x', false))).toBe('3 keys in the target, read back and compared; 9 nodes left out or altered');
  expect(exitOfMigration(pageWith('x', false).report)).toBe(3);
  const { report, ...rest } = pageWith('x', false);
  expect(top({ ...rest, report: { ...report, notes: [] } })).toBe('3 keys in the target, read back and compared');
  expect(exitOfMigration({ ...report, notes: [] })).toBe(0);
});

test('values are escaped in text and in attributes, markup is not escaped twice', () => {
  const inner = html`<b title="${'"'}">${'<'}</b>`;
  expect(html`<p>${[inner, inner]}${1}${2n}</p>`.text).toBe('<p><b title="&quot;">&lt;</b><b title="&quot;">&lt;</b>12</p>');
});
