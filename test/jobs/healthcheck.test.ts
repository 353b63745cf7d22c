import { describe, expect, test } from 'vitest';
import { parseHealthcheck, ping } from '../../src/jobs/healthcheck.js';
import { quietRun } from '../../src/model/run.js';
import { healthcheckService as service } from '../support/healthcheck.js';

function listening(): { warnings: string[]; run: ReturnType<typeof quietRun> } {
  const warnings: string[] = [];
  return { warnings, run: { ...quietRun(), warn: (line) => void warnings.push(line) } };
}

describe('a healthcheck', () => {
  test('is told of start, success and failure as healthchecks.io has it', async () => {
    await using hc = await service();
    const { warnings, run } = listening();
    await ping(hc.url('/ping/1234'), 'start', 'etcd', run);
    await ping(hc.url('/ping/1234/'), 'fail', 'no space', run);
    await ping(hc.url('/ping/1234?rid=7'), 'success', 'backed up', run);
    await ping(hc.url('/ping/1234?rid=7'), 'fail', '', run);
    expect(hc.asked.map(({ method, url, body }) => [method, url, body])).toEqual([
      ['POST', '/ping/1234/start', 'etcd'],
      ['POST', '/ping/1234/fail', 'no space'],
      ['POST', '/ping/1234?rid=7', 'backed up'],
      ['POST', '/ping/1234/fail?rid=7', ''],
    ]);
    expect(warnings).toEqual([]);
  });

  test('is asked again when it fails, and not when it refuses', async () => {
    await using hc = await service(500, 200, 404);
    const { warnings, run } = listening();
    await ping(hc.url('/secret-uuid'), 'success', '', run);
    expect(hc.asked).toHaveLength(2);
    await ping(hc.url('/secret-uuid'), 'success', '', run);
    expect(hc.asked).toHaveLength(3);
    expect(warnings).toEqual([
      expect.stringMatching(/^the healthcheck at 127\.0\.0\.1:\d+ could not be told of the success: it answered 404$/),
    ]);
  });

  test('that does not answer is a warning, soon', async () => {
    await using hc = await service(0, 0, 0);
    const { warnings, run } = listening();
    await ping(hc.url('/secret-uuid'), 'start', '', run, 50);
    await ping(new URL('http://127.0.0.1:1/secret-uuid'), 'fail', '', run);
    expect(warnings).toEqual([expect.stringContaining('no answer in time'), expect.stringContaining('of the fail')]);
    expect(warnings.join()).not.toContain('secret-uuid');
  });

  test.each(['', 'hc-ping.com/x', 'ftp://h/secret', 'file:///secret'])('is no URL: %s', (text) => {
    expect(() => parseHealthcheck(text)).toThrow(
      expect.objectContaining({ code: 'usage', message: '--healthcheck is not a URL' }) as Error,
    );
  });
});
