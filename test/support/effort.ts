/**
 * How often what is tried at random is tried, next to what `npm test` has time for: `MUSTER_TEST_EFFORT=20` looks twenty times as
 * long.
 */
const effort = Number(process.env['MUSTER_TEST_EFFORT'] ?? 1);
if (!(effort > 0)) throw new Error('MUSTER_TEST_EFFORT: must be a number above 0');

export function asOften(times: number): number {
  return Math.max(1, Math.round(times * effort));
}
