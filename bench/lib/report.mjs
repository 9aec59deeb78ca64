// The result as markdown, ready for docs/benchmarks.md.

const perSecond = (rate) => (rate === undefined ? '' : Math.round(rate).toLocaleString('en-US'));
const times = (ratio) => (ratio === undefined ? '' : ratio.toFixed(2));

/**
 * @param {{
 *   facts: [string, string][],
 *   rows: {what: string, peer: string, peerRate: number, musterRate?: number, target?: number}[],
 * }} report rates per second; target: the least ratio of muster to peer, unset for information only
 */
export function printReport({ facts, rows }, print = console.log) {
  for (const [name, value] of facts) print(`- ${name}: ${value}`);
  print('');
  print('| what | peer | peer /s | muster /s | ratio | target |');
  print('| --- | --- | ---: | ---: | ---: | ---: |');
  for (const { what, peer, peerRate, musterRate, target } of rows) {
    const ratio = musterRate === undefined ? undefined : musterRate / peerRate;
    print(
      `| ${what} | ${peer} | ${perSecond(peerRate)} | ${perSecond(musterRate)} | ${times(ratio)} | ${verdict(ratio, target)} |`,
    );
  }
}

function verdict(ratio, target) {
  if (target === undefined) return '';
  if (ratio === undefined) return `${target}`;
  return `${target} ${ratio >= target ? 'met' : 'MISSED'}`;
}
