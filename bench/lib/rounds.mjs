// How candidates are compared: one after the other, round after round (A B A B ...), so that a machine that slows down
// slows all of them down; then the median of the rounds.

/**
 * @param {{name: string, measure: () => Promise<{rate: number}>}[]} candidates
 * @returns {Promise<Map<string, {rate: number, runs: object[]}>>} the run with the median rate, and all runs
 */
export async function runRounds(candidates, { rounds = 3, log = () => {} } = {}) {
  const runs = new Map(candidates.map(({ name }) => [name, []]));
  for (let round = 1; round <= rounds; round += 1) {
    for (const { name, measure } of candidates) {
      const result = await measure();
      runs.get(name).push(result);
      log(`${name}, round ${round}: ${JSON.stringify(result)}`);
    }
  }
  return new Map([...runs].map(([name, list]) => [name, { ...medianRun(list), runs: list }]));
}

function medianRun(list) {
  const sorted = [...list].sort((a, b) => a.rate - b.rate);
  return sorted[Math.floor((sorted.length - 1) / 2)];
}
