/**
 * Submits `jobs` jobs one by one from `callers` callers, each of which waits for its answer before its next submit.
 *
 * @returns {Promise<{rate: number}>} submits per second
 */
export async function submitConcurrently({ jobs, callers, submit }) {
  let next = 0;
  async function caller() {
    while (next < jobs) {
      const n = next;
      next += 1;
      await submit(n);
    }
  }
  const started = performance.now();
  await Promise.all(Array.from({ length: callers }, caller));
  return { rate: jobs / ((performance.now() - started) / 1000) };
}
