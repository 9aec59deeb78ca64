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
    // To load fastify, gRPC and the rest anew for each file took a quarter of all processor time. Files share no state but what is
    // global to a process, which none of them may change for good.
    isolate: false,
    reporters: ['default'],
  },
});
