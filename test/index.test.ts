import { expect, test } from 'vitest';

test('the compiled package can be imported', async () => {
  expect(Object.keys((await import('../dist/index.js' as string)) as object)).not.toEqual([]);
});
