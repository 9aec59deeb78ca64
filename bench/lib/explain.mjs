import { withClient } from './db.mjs';

/**
 * The plans of prepared statements as Muster's sessions have them: one for all parameters. Only of those that read.
 *
 * @param {{name: string, text: string, values: unknown[]}[]} statements
 * @returns {Promise<{name: string, plan: string}[]>}
 */
export async function explain(connection, statements) {
  return withClient(connection, async (client) => {
    await client.query(`set plan_cache_mode = force_generic_plan; set jit = off; set max_parallel_workers_per_gather = 0;
      set random_page_cost = 1.1`);
    const literal = (value) => {
      if (value === null || value === undefined) return 'null';
      if (Array.isArray(value)) return `array[${value.map(literal).join(', ')}]`;
      return client.escapeLiteral(String(value));
    };
    const found = [];
    for (const { name, text, values } of statements.filter((each) => /^\s*(SELECT|WITH RECURSIVE)/.test(each.text))) {
      if (found.some((each) => each.name === name)) continue;
      await client.query(`prepare "explained_${name}" as ${text}`);
      const { rows } = await client.query(
        `explain (analyze, buffers, costs off, timing off, summary off) execute "explained_${name}" (${values.map(literal).join(', ')})`,
      );
      found.push({ name, plan: rows.map((row) => row['QUERY PLAN']).join('\n') });
    }
    return found;
  });
}
