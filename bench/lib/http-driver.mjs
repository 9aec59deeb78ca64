import autocannon from 'autocannon';
import { answer, childOptions } from './child.mjs';

const { port, requests, connections, seconds } = childOptions();

const result = await autocannon({
  url: `http://127.0.0.1:${port}`,
  connections,
  duration: seconds,
  requests,
});

const failed = result.non2xx + result.errors + result.timeouts;
if (failed > 0) throw new Error(`${failed} of ${result.requests.total} requests failed`);
const answers = result['2xx'];
answer({ answers, rate: answers / result.duration, p50: result.latency.p50, p99: result.latency.p99 });
