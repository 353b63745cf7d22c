import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseSpan } from '../../src/storage/calendar-span.js';
import { applyRetention, checkPolicy, type RetentionCandidate, type RetentionPolicy } from '../../src/storage/retention.js';

const HOUR = 3_600_000;
const FIRST = Date.parse('2023-01-01T00:00Z');
/** Two years of hourly backups, a leap year among them: 17,544 from 2023-01-01T00:00Z to 2024-12-31T23:00Z. */
const TWO_YEARS = Array.from({ length: (365 + 366) * 24 }, (_, hour) => candidate(FIRST + hour * HOUR));
const NOW = Date.parse('2025-01-01T00:00Z');

function candidate(time: number, more: Partial<RetentionCandidate> = {}): RetentionCandidate {
  return { name: 'etcd', time, verified: false, ...more };
}

const at = (text: string, more: Partial<RetentionCandidate> = {}): RetentionCandidate => candidate(Date.parse(text), more);
const within = (text: string): RetentionPolicy => ({ within: parseSpan(text, '--keep-within') });

/** The times of what is kept, newest first, as `2024-12-31T23` (UTC). */
function kept(archives: readonly RetentionCandidate[], policy: RetentionPolicy, zone = 'UTC', now = NOW): string[] {
  return applyRetention(archives, policy, { now, zone })
    .filter(({ keep }) => keep)
    .map(({ archive }) => new Date(archive.time).toISOString().slice(0, 13));
}

describe('two years of hourly backups', () => {
  it.each<[string, RetentionPolicy, string, string[]]>([
    ['the last', { last: 3 }, 'UTC', ['2024-12-31T23', '2024-12-31T22', '2024-12-31T21']],
    ['the last hours', { hourly: 2 }, 'UTC', ['2024-12-31T23', '2024-12-31T22']],
    ['the last days, over the end of a month', { daily: 32 }, 'UTC', daysBack('2024-12-31', 32, '23')],
    // ISO week 1 of 2025 begins on Monday 30 December 2024: its newest is of Tuesday, then come the Sundays.
    ['ISO weeks over the end of a year', { weekly: 3 }, 'UTC', ['2024-12-31T23', '2024-12-29T23', '2024-12-22T23']],
    [
      'the last months, the leap day among them',
      { monthly: 12 },
      'UTC',
      ['12-31', '11-30', '10-31', '09-30', '08-31', '07-31', '06-30', '05-31', '04-30', '03-31', '02-29', '01-31'].map(
        (day) => `2024-${day}T23`,
      ),
    ],
    ['the last years', { yearly: 2 }, 'UTC', ['2024-12-31T23', '2023-12-31T23']],
    ['the last years, and the oldest while a place is left', { yearly: 5 }, 'UTC', ['2024-12-31T23', '2023-12-31T23', '2023-01-01T00']],
    ['all years and no oldest place to fill', { yearly: -1 }, 'UTC', ['2024-12-31T23', '2023-12-31T23', '2023-01-01T00']],
    ['all within a span of the newest, its begin not', within('3h'), 'UTC', ['2024-12-31T23', '2024-12-31T22', '2024-12-31T21']],
    [
      'what any rule keeps',
      { last: 1, daily: 2, monthly: 2, yearly: 2 },
      'UTC',
      ['2024-12-31T23', '2024-12-30T23', '2024-11-30T23', '2023-12-31T23'],
    ],
    // 2025 begins an hour earlier in Berlin: the newest backup is of the new year there.
    ['the years of another zone', { yearly: 2 }, 'Europe/Berlin', ['2024-12-31T23', '2024-12-31T22']],
    ['the days of another zone', { daily: 2 }, 'America/New_York', ['2024-12-31T23', '2024-12-31T04']],
    ['a zone of half hours', { daily: 2 }, 'Asia/Kolkata', ['2024-12-31T23', '2024-12-31T18']],
  ])('keep %s', (_, policy, zone, expected) => {
    expect(kept(TWO_YEARS, policy, zone)).toEqual(expected);
  });

  it('keep all when a count is -1', () => {
    expect(kept(TWO_YEARS, { hourly: -1 })).toHaveLength(TWO_YEARS.length);
    expect(kept(TWO_YEARS, { last: -1 })).toHaveLength(TWO_YEARS.length);
  });

  it('keep every day, week and month of both years', () => {
    expect(kept(TWO_YEARS, { daily: -1 })).toHaveLength(365 + 366 + 1); // the oldest too
    expect(kept(TWO_YEARS, { daily: 731 })).toHaveLength(731);
    // 1 January 2023 is the Sunday of 2022's last week; then 52 weeks of 2023, 52 of 2024, and 2025's first.
    expect(kept(TWO_YEARS, { weekly: 106 })).toHaveLength(106);
    expect(kept(TWO_YEARS, { monthly: 24 })).toHaveLength(24);
  });

  it('are thinned out as restic documents it: 7 days, 5 weeks, 12 months, 75 years', () => {
    expect(kept(TWO_YEARS, { daily: 7, weekly: 5, monthly: 12, yearly: 75 })).toEqual([
      ...daysBack('2024-12-31', 7, '23'), // the 29th is a Sunday
      ...['2024-12-22T23', '2024-12-15T23', '2024-12-08T23'],
      ...['11-30', '10-31', '09-30', '08-31', '07-31', '06-30', '05-31', '04-30', '03-31', '02-29', '01-31'].map((day) => `2024-${day}T23`),
      '2023-12-31T23',
      '2023-01-01T00',
    ]);
  });

  it('pruned every night leave what pruning once leaves, but for the oldest', () => {
    const policy = { daily: 7, weekly: 4, monthly: 6 };
    let left: RetentionCandidate[] = [];
    for (const [hour, archive] of TWO_YEARS.slice(0, 200 * 24).entries()) {
      left.push(archive);
      if (hour % 24 !== 23) continue;
      left = applyRetention(left, policy, { now: archive.time + 1, zone: 'UTC' }).flatMap(({ archive: a, keep }) => (keep ? [a] : []));
    }
    const once = kept(TWO_YEARS.slice(0, 200 * 24), policy);
    expect(left.map(({ time }) => new Date(time).toISOString().slice(0, 13)).sort()).toEqual(once.sort());
  });
});

describe('daylight saving', () => {
  const hours = (from: string, count: number): RetentionCandidate[] =>
    Array.from({ length: count }, (_, hour) => candidate(Date.parse(from) + hour * HOUR));

  it('takes the hour that autumn repeats for one hour, as the clock says it', () => {
    // Berlin: 02:00 to 03:00 comes twice on 27 October 2024, at 00:00Z and 01:00Z.
    const night = hours('2024-10-26T23:00Z', 4);
    expect(kept(night, { hourly: 3 }, 'Europe/Berlin')).toEqual(['2024-10-27T02', '2024-10-27T01', '2024-10-26T23']);
    expect(kept(night, { hourly: 3 }, 'UTC')).toEqual(['2024-10-27T02', '2024-10-27T01', '2024-10-27T00']);
  });

  it('misses no hour where spring leaves one out', () => {
    expect(kept(hours('2024-03-31T00:00Z', 3), { hourly: 3 }, 'Europe/Berlin')).toHaveLength(3);
  });

  it('has days of 23 and 25 hours', () => {
    // 2024-03-31 in Berlin lasts from 23:00Z to 22:00Z, 2024-10-27 from 22:00Z to 23:00Z.
    expect(kept(hours('2024-03-30T20:00Z', 48), { daily: 3 }, 'Europe/Berlin')).toEqual([
      '2024-04-01T19',
      '2024-03-31T21',
      '2024-03-30T22',
    ]);
    expect(kept(hours('2024-10-26T20:00Z', 48), { daily: 3 }, 'Europe/Berlin')).toEqual([
      '2024-10-28T19',
      '2024-10-27T22',
      '2024-10-26T21',
    ]);
  });

  it('may shift a zone by half an hour', () => {
    // Lord Howe Island: at 02:00 of 6 April 2025 the clocks go back to 01:30, at 15:00Z of the 5th.
    const halfHours = Array.from({ length: 5 }, (_, half) => candidate(Date.parse('2025-04-05T14:00Z') + (half * HOUR) / 2));
    expect(kept(halfHours, { hourly: -1 }, 'Australia/Lord_Howe', Date.parse('2026-01-01'))).toHaveLength(3);
  });
});

describe('ISO weeks', () => {
  it.each([
    // [a pair of days, whether they are of one week]
    ['2020-12-31T12:00Z', '2021-01-03T12:00Z', true], // both of 2020-W53
    ['2021-01-03T12:00Z', '2021-01-04T12:00Z', false],
    ['2024-12-29T12:00Z', '2024-12-30T12:00Z', false], // 2024-W52, 2025-W01
    ['2024-12-30T12:00Z', '2025-01-05T12:00Z', true],
    ['2021-01-05T12:00Z', '2022-01-04T12:00Z', false], // W01 of two years
  ])('take %s and %s apart or together: %s', (older, newer, together) => {
    const week = kept([at('2019-06-01T12:00Z'), at(older), at(newer)], { weekly: 2 }, 'UTC', Date.parse('2026-01-01'));
    expect(week).toHaveLength(2);
    expect(week.includes(older.slice(0, 13))).toBe(!together);
  });
});

describe('the rules', () => {
  it('give a reason for each archive that stays and each that goes', () => {
    const archives = [at('2024-05-03T10:00Z'), at('2024-05-03T08:00Z'), at('2024-05-02T08:00Z'), at('2024-05-01T09:00Z')];
    const said = (policy: RetentionPolicy): string[] =>
      applyRetention(archives, policy, { now: NOW, zone: 'UTC' }).map(
        ({ keep, reasons }) => `${keep ? 'stays' : 'goes'}: ${reasons.join(', ')}`,
      );
    expect(said({ last: 1, daily: 2 })).toEqual([
      'stays: last, daily',
      'goes: not of the last 1, a newer one of its day stays',
      'stays: daily',
      'goes: not of the last 1, 2 daily are newer',
    ]);
    expect(said({ monthly: 5, ...within('1d') })).toEqual([
      'stays: within 1d, monthly',
      'stays: within 1d',
      'goes: not within 1d of the newest, a newer one of its month stays',
      'stays: oldest monthly',
    ]);
  });

  it('treat each name apart', () => {
    const archives = ['a', 'b'].flatMap((name) => [at('2024-05-01T00:00Z', { name }), at('2024-05-02T00:00Z', { name })]);
    const decisions = applyRetention(archives, { last: 1 }, { now: NOW, zone: 'UTC' });
    expect(decisions.map(({ archive, keep }) => [archive.name, new Date(archive.time).getUTCDate(), keep])).toEqual([
      ['a', 2, true],
      ['a', 1, false],
      ['b', 2, true],
      ['b', 1, false],
    ]);
  });

  it('never let the newest archive go that passed verify', () => {
    const archives = [
      at('2024-05-04T00:00Z'),
      at('2024-05-03T00:00Z'),
      at('2024-05-02T00:00Z', { verified: true }),
      at('2024-05-01T00:00Z', { verified: true }),
    ];
    expect(kept(archives, { last: 1 })).toEqual(['2024-05-04T00', '2024-05-02T00']);
    const decisions = applyRetention(archives, { last: 1 }, { now: NOW, zone: 'UTC' });
    expect(decisions[2]?.reasons).toEqual(['newest that passed verify']);
  });

  it('do not let an archive of the future make the others look old', () => {
    const archives = [at('2031-01-01T00:00Z'), at('2024-05-02T00:00Z'), at('2024-05-01T00:00Z'), at('2024-03-01T00:00Z')];
    expect(kept(archives, within('7d'))).toEqual(['2031-01-01T00', '2024-05-02T00', '2024-05-01T00']);
  });

  it.each<[RetentionPolicy]>([[{}], [{ last: 0, daily: 0 }], [within('0d')], [{ last: -2 }], [{ daily: 1.5 }], [{ daily: Number.NaN }]])(
    'refuse %j, which would keep nothing or is none',
    (policy) => {
      expect(() => checkPolicy(policy)).toThrow(expect.objectContaining({ code: 'usage' }) as Error);
      expect(() => applyRetention(TWO_YEARS, policy, { now: NOW })).toThrow();
    },
  );
});

describe('any archives and policy', () => {
  const count = fc.option(fc.integer({ min: 1, max: 6 }), { nil: undefined });
  const counts = fc.record({ last: count, hourly: count, daily: count, weekly: count, monthly: count, yearly: count });
  const times = fc.uniqueArray(fc.integer({ min: 0, max: 4 * 366 * 24 * 4 }), { minLength: 1, maxLength: 60 });
  const zones = fc.constantFrom('UTC', 'Europe/Berlin', 'America/New_York', 'Australia/Lord_Howe');

  it('keep what a plain reading of the rules keeps', () => {
    fc.assert(
      fc.property(times, counts, zones, (quarters, all, zone) => {
        const policy = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined)) as RetentionPolicy;
        fc.pre(Object.keys(policy).length > 0);
        const sorted = quarters.map((quarter) => FIRST + (quarter * HOUR) / 4).sort((a, b) => b - a);
        const decisions = applyRetention(
          sorted.map((time) => candidate(time)),
          policy,
          { now: FIRST + 10 * 366 * 24 * HOUR, zone },
        );
        expect(decisions.filter(({ keep }) => keep).map(({ archive }) => archive.time)).toEqual(plainReading(sorted, policy, zone));
      }),
      { numRuns: 200 },
    );
  });
});

describe('archives dated in the future', () => {
  const policy = fc
    .record({
      counts: fc.dictionary(fc.constantFrom('last', 'hourly', 'daily', 'weekly', 'monthly', 'yearly'), fc.integer({ min: -1, max: 4 }), {
        noNullPrototype: true,
      }),
      span: fc.option(fc.constantFrom('3h', '2d', '1m'), { nil: undefined }),
    })
    .map(({ counts, span }): RetentionPolicy => ({ ...counts, ...(span === undefined ? {} : within(span)) }))
    .filter(({ within: span, ...counts }) => span !== undefined || Object.values(counts).some((count) => count !== 0));
  const archive = fc.record({ hours: fc.integer({ min: -60 * 24, max: 0 }), verified: fc.boolean() });
  const ahead = fc.record({ hours: fc.integer({ min: 1, max: 24 * 800 }), verified: fc.boolean() });

  it('take the place of no other, whatever the policy, and stay', () => {
    fc.assert(
      fc.property(fc.array(archive, { maxLength: 20 }), fc.array(ahead, { maxLength: 4 }), policy, (real, future, rules) => {
        const made = (list: typeof real) => list.map(({ hours, verified }) => candidate(NOW + hours * HOUR, { verified }));
        const clock = { now: NOW, zone: 'UTC' };
        const alone = applyRetention(made(real), rules, clock);
        const both = applyRetention([...made(future), ...made(real)], rules, clock);
        const isFuture = ({ archive: { time } }: { archive: RetentionCandidate }) => time > NOW;
        expect(both.filter((decision) => !isFuture(decision))).toEqual(alone);
        expect(both.filter(isFuture).map(({ keep, reasons }) => [keep, ...reasons])).toEqual(
          future.map(() => [true, 'dated in the future']),
        );
      }),
    );
  });
});

/** The same rules without luxon and without counting down: the newest of each of the last N buckets, and the oldest. */
function plainReading(sorted: readonly number[], policy: RetentionPolicy, zone: string): number[] {
  const keep = new Set<number>();
  for (const [unit, count] of Object.entries(policy) as [string, number][]) {
    const newest = new Map<string, number>();
    for (const time of sorted) {
      const bucket = unit === 'last' ? String(time) : bucketText(time, unit, zone);
      if (!newest.has(bucket)) newest.set(bucket, time);
    }
    for (const time of [...newest.values()].slice(0, count)) keep.add(time);
    if (newest.size < count) keep.add(sorted.at(-1) as number);
  }
  return sorted.filter((time) => keep.has(time));
}

function bucketText(time: number, unit: string, zone: string): string {
  const local = new Intl.DateTimeFormat('sv-SE', { timeZone: zone, dateStyle: 'short', timeStyle: 'medium' }).format(time);
  if (unit === 'weekly') return mondayOf(local.slice(0, 10));
  return local.slice(0, { hourly: 13, daily: 10, monthly: 7, yearly: 4 }[unit]);
}

function mondayOf(day: string): string {
  const noon = new Date(`${day}T12:00Z`);
  noon.setUTCDate(noon.getUTCDate() - ((noon.getUTCDay() + 6) % 7));
  return noon.toISOString().slice(0, 10);
}

function daysBack(day: string, count: number, hour: string): string[] {
  const noon = Date.parse(`${day}T12:00Z`);
  return Array.from({ length: count }, (_, back) => `${new Date(noon - back * 24 * HOUR).toISOString().slice(0, 10)}T${hour}`);
}

describe('archives known to be damaged', () => {
  it('take no place of a sound one, whatever the policy', () => {
    const archive = fc.record({ hours: fc.integer({ min: -60 * 24, max: 0 }), verified: fc.boolean(), damaged: fc.boolean() });
    const policy = fc.constantFrom<RetentionPolicy>(
      { last: 1 },
      { last: 3, daily: 2 },
      { hourly: 4, weekly: 2 },
      { yearly: -1 },
      within('2d'),
    );
    fc.assert(
      fc.property(fc.uniqueArray(archive, { maxLength: 20, selector: ({ hours }) => hours }), policy, (chosen, rules) => {
        const archives = chosen.map(({ hours, ...more }) =>
          candidate(NOW + hours * HOUR, { ...more, verified: more.verified && !more.damaged }),
        );
        const sound = archives.filter(({ damaged }) => damaged !== true);
        const among = applyRetention(archives, rules, { now: NOW, zone: 'UTC' });
        expect(among.filter((decision) => decision.archive.damaged !== true)).toEqual(
          applyRetention(sound, rules, { now: NOW, zone: 'UTC' }),
        );
        expect(among).toHaveLength(archives.length);
      }),
      { numRuns: 300 },
    );
  });

  it('go when they would go as whole ones', () => {
    const archives = [at('2024-03-03T10'), at('2024-03-02T10', { damaged: true }), at('2024-03-01T10', { damaged: true })];
    const decisions = applyRetention(archives, { last: 2 }, { now: NOW, zone: 'UTC' });
    expect(decisions.map(({ keep }) => keep)).toEqual([true, true, false]);
    expect(decisions.map(({ reasons }) => reasons[0])).toEqual(['last', 'damaged', 'damaged']);
  });
});
