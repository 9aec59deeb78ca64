import { test } from 'vitest';
import { compile, serviceOf } from '../support/fixtures/compile.js';
test('x', async () => { const t = performance.now(); const r = await compile(); console.log(performance.now() - t, serviceOf(r, 'fixture.v1.LibraryService').methods.length); });
