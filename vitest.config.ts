import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/extra/**'],
    globalSetup: ['test/support/global-setup.ts'],
    // Generous: these bound a hang, they do not measure speed.
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // Servers, databases and programs of many tests share two cores.
    maxWorkers: 2,
    reporters: ['default'],
  },
});
