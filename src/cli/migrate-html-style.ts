/** The look of a migration's page: system fonts, light and dark as the reader has it, one column on a phone. */
export const STYLE = `
:root {
  color-scheme: light dark;
  --page: #f6f7f9; --card: #fff; --line: #dde1e7; --text: #1b2129; --soft: #5a6573; --track: #e9ecf1;
  --keys: #2f6fde; --left: #d9822b; --good: #1a7f4b; --good-soft: #e3f4ea; --warn: #9a5b00; --warn-soft: #fdf0dc;
  --bad: #b3261e; --bad-soft: #fce8e6; --plan: #2857a6; --plan-soft: #e6eefb;
  --p0: #2f6fde; --p1: #7a5bd0; --p2: #12908e; --p3: #c2577e; --p4: #7d8793;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #14181d; --card: #1c2229; --line: #313a45; --text: #e6eaef; --soft: #9aa6b4; --track: #2a323c;
    --keys: #6aa1ff; --left: #f0a758; --good: #6fd39b; --good-soft: #16352480; --warn: #f3bd6b; --warn-soft: #3d2d12;
    --bad: #ff9a92; --bad-soft: #43201d; --plan: #9cc0ff; --plan-soft: #1f2f4a;
    --p0: #6aa1ff; --p1: #a78bfa; --p2: #4cc9c4; --p3: #f08fb5; --p4: #8b96a3;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text); font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 28px 24px 56px; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0; }
h2 { font-size: 1.1rem; margin: 0 0 14px; }
p { margin: 0; }
code, pre { font: .875em/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; unicode-bidi: isolate; overflow-wrap: anywhere; }
pre { margin: 12px 0 0; padding: 12px 14px; background: var(--page); border: 1px solid var(--line); border-radius: 8px; white-space: pre-wrap; }
.soft { color: var(--soft); }
.verdict { border-radius: 14px; padding: 22px 24px; border-left: 6px solid currentColor; }
.verdict h1, .verdict p { color: var(--text); }
.verdict .word { font-size: .8rem; font-weight: 700; letter-spacing: .08em; text-transform: uppercase; margin-bottom: 4px; color: inherit; }
.verdict .route { margin-top: 12px; overflow-wrap: anywhere; }
.complete { background: var(--good-soft); color: var(--good); }
.left-out { background: var(--warn-soft); color: var(--warn); }
.differs { background: var(--bad-soft); color: var(--bad); }
.planned { background: var(--plan-soft); color: var(--plan); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px; margin: 16px 0; }
.tile { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 14px 16px; }
.tile b { display: block; font-size: 1.5rem; line-height: 1.2; font-weight: 650; font-variant-numeric: tabular-nums; }
.tile span { color: var(--soft); font-size: .9rem; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 14px; padding: 20px 22px; margin-top: 16px; }
.bar-row { display: grid; grid-template-columns: minmax(110px, 15rem) 1fr 13rem; gap: 4px 16px; align-items: center; padding: 7px 0; }
.bar-row + .bar-row { border-top: 1px solid var(--line); }
.bar { display: flex; height: 14px; background: var(--track); border-radius: 7px; overflow: hidden; }
.bar i { display: block; height: 100%; min-width: 2px; }
.bar .keys { background: var(--keys); } .bar .left { background: var(--left); }
.figures { text-align: right; font-variant-numeric: tabular-nums; font-size: .9rem; color: var(--soft); }
.figures b { color: var(--text); font-weight: 600; } .figures .left { color: var(--warn); }
.legend { display: flex; flex-wrap: wrap; gap: 4px 20px; margin: 0 0 8px; font-size: .9rem; color: var(--soft); }
.legend i { display: inline-block; width: 11px; height: 11px; border-radius: 3px; margin-right: 7px; vertical-align: -1px; }
ul { list-style: none; margin: 0; padding: 0; }
li { padding: 11px 0; } li + li { border-top: 1px solid var(--line); } li:first-child { padding-top: 0; } li:last-child { padding-bottom: 0; }
.note { display: grid; grid-template-columns: 4rem 1fr; gap: 2px 14px; }
.note > b { font-variant-numeric: tabular-nums; text-align: right; }
.tag { display: inline-block; font-size: .75rem; font-weight: 650; padding: 1px 8px; border-radius: 9px; background: var(--track); color: var(--soft); white-space: nowrap; }
.tag.lost { background: var(--warn-soft); color: var(--warn); } .tag.bad { background: var(--bad-soft); color: var(--bad); } .tag.good { background: var(--good-soft); color: var(--good); }
.examples { grid-column: 2; color: var(--soft); font-size: .9rem; }
.examples code { background: var(--track); border-radius: 4px; padding: 1px 5px; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 7px 24px; margin: 0; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
footer { color: var(--soft); font-size: .85rem; margin-top: 20px; }
@media (max-width: 640px) {
  main { padding: 14px 12px 40px; }
  h1 { font-size: 1.3rem; }
  .verdict { padding: 18px 16px; }
  section { padding: 16px 14px; }
  .tiles { grid-template-columns: 1fr 1fr; gap: 8px; } .tile { padding: 12px; } .tile b { font-size: 1.25rem; }
  .bar-row { grid-template-columns: 1fr auto; } .bar-row .bar { grid-column: 1 / -1; grid-row: 2; } .figures { text-align: right; }
  .note { grid-template-columns: minmax(2rem, max-content) 1fr; gap: 2px 10px; }
  dl { grid-template-columns: minmax(5.5rem, max-content) 1fr; gap: 7px 14px; }
}
@media print { body { background: #fff; } section, .tile { break-inside: avoid; } }
`;
