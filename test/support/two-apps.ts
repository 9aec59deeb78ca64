import { rm } from 'node:fs/promises';
import { onTestFinished } from 'vitest';
import { dataDirOf, startTestApp, type TestApp, type TestAppOptions } from './app.js';
import { createTestDatabase, type TestDatabase } from './database.js';

/** Servers that share a database, which outlives each of them. */
export async function startTestApps<const O extends readonly TestAppOptions[]>(
  ...options: O
): Promise<{ readonly apps: { readonly [I in keyof O]: TestApp }; readonly database: TestDatabase }> {
  const database = await createTestDatabase();
  // Registered first, so run last.
  onTestFinished(async () => {
    await database.drop();
    await rm(dataDirOf(database), { recursive: true, force: true, maxRetries: 3 });
  });
  const apps: TestApp[] = [];
  for (const each of options) apps.push(await startTestApp({ ...each, database }));
  return { apps: apps as unknown as { readonly [I in keyof O]: TestApp }, database };
}
