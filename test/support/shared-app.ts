import { afterAll, beforeAll } from 'vitest';
import { launchTestApp, type TestApp, type TestAppOptions } from './app.js';

/** One server for all tests of a file or `describe`, for tables of cases that do not touch each other. */
export function sharedTestApp(options: TestAppOptions = {}): { readonly current: TestApp } {
  let app: TestApp | undefined;
  beforeAll(async () => {
    app = await launchTestApp(options);
  });
  afterAll(() => app?.stop());
  return {
    get current() {
      if (app === undefined) throw new Error('the server has not been started yet');
      return app;
    },
  };
}
