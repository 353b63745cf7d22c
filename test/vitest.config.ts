import { defineConfig } from 'vitest/config';

export default defineConfig({
  root: new URL('..', import.meta.url).pathname,
  test: {
    include: ['test/**/*.test.ts'],
    // The long rounds of a property take as long as they take.
    testTimeout: process.env.SOAK === undefined ? 60_000 : 1_200_000,
    hookTimeout: 60_000,
    // Integration tests start real servers: more than two files at once only slows each other.
    maxWorkers: 2,
    reporters: ['default'],
  },
});
