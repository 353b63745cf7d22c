import { expect, test, vi } from 'vitest';
import { ProgressDisplay, describe as words } from '../../src/cli/progress.js';
import type { Terminal } from '../../src/cli/terminal.js';

const half = { phase: 'proving', records: 50_000, bytes: 50_000_000, totalBytes: 100_000_000 };

test('the bar gives way to rate and time left, then the bytes do', () => {
  expect(words(half, 10_000, 120)).toBe(`proving  ${'█'.repeat(12)}${'░'.repeat(12)} 50%  50,000 records, 47.7 MiB, 4.8 MiB/s, 10 s left`);
  expect(words(half, 10_000, 72)).toBe('proving  ██████░░░░░ 50%  50,000 records, 47.7 MiB, 4.8 MiB/s, 10 s left');
  expect(words(half, 10_000, 64)).toBe('proving  50%  50,000 records, 47.7 MiB, 4.8 MiB/s, 10 s left');
  expect(words(half, 10_000, 57)).toBe('proving  ███░░░ 50%  50,000 records, 4.8 MiB/s, 10 s left');
});

test('what is left is told once it can be known', () => {
  const at = (bytes: number, elapsed: number): string => words({ ...half, bytes }, elapsed);
  expect(at(3_500, 7_500)).not.toContain('left');
  expect(at(10_000_000, 1_500)).not.toContain('left');
  expect(at(2_000_000, 3_600_000)).not.toContain('left');
  expect(at(99_900_000, 60_000)).toMatch(/, 1 s left$/);
  expect(at(20_000_000, 60_000)).toMatch(/, 4 min 00 s left$/);
  expect(at(20_000_000, 3_600_000)).toMatch(/, 4 h 00 min left$/);
  expect(at(100_000_000, 60_000)).not.toContain('left');
});

test('each phase has a time of its own, and one with nothing to count is shown too', () => {
  vi.useFakeTimers();
  try {
    let shown = '';
    const write = (text: string): boolean => {
      shown = text;
      return true;
    };
    const stderr = { isTTY: true, columns: 200, write };
    const display = new ProgressDisplay({ stderr, env: {} } as unknown as Terminal, true);
    const after = (ms: number, records: number, bytes: number): void => {
      vi.advanceTimersByTime(ms);
      display.update({ phase: 'reading', records, bytes, totalBytes: 100_000_000 });
    };
    after(0, 1, 0);
    expect(shown).toBe('');
    after(10_000, 1_000, 50_000_000);
    expect(shown).toContain('4.8 MiB/s');
    // The next location: the same word, counted anew.
    after(1_000, 1, 1_000);
    after(1_000, 1_000, 50_000_000);
    expect(shown).toContain('47.7 MiB/s');
    display.update({ phase: 'starting etcd', records: 0, bytes: 0 });
    vi.advanceTimersByTime(1);
    expect(shown).toBe('\r\x1b[Kstarting etcd');
    display.clear();
    display.update({ phase: 'restoring', records: 0, bytes: 0 });
    display.clear();
    vi.advanceTimersByTime(5_000);
    expect(shown).toBe('\r\x1b[K');
  } finally {
    vi.useRealTimers();
  }
});
