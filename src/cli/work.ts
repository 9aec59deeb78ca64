import { createWorker, type Worker } from '../client/index.js';
import { parse } from '../platform/config.js';
import { command } from './command.js';
import { exitCodes } from './errors.js';
import { optional, repeated, required, toggle, withDefault } from './flags.js';
import { outliveReader, stderr, stdout } from './output.js';
import { callError, clientFor, urlFlag } from './server-access.js';
import { createJsonLog, createStderrLines, createTextLog } from './work-lines.js';
import { createProgramHandler } from './work-program.js';

const flags = {
  kind: repeated({ flag: 'kind', value: 'KIND', help: 'Kind of jobs to run. May be repeated.', parse: parse.text }, 1),
  exec: required({
    flag: 'exec',
    value: 'COMMAND',
    help: 'The program, as /bin/sh -c takes it.',
    parse(text) {
      if (text.trim() === '') throw new Error('is no command');
      return text;
    },
  }),
  concurrency: withDefault({
    flag: 'concurrency',
    value: 'N',
    fallback: '1',
    help: 'How many jobs to run at a time: 1 to 1000.',
    parse: parse.integer(1, 1000),
  }),
  prefetch: withDefault({
    flag: 'prefetch',
    value: 'N',
    fallback: '0',
    help: 'How many jobs to hold ready besides those that run, for jobs of a few milliseconds: 0 to 4000.',
    parse: parse.integer(0, 4000),
  }),
  timeout: optional({
    flag: 'timeout',
    value: 'DURATION',
    help: "How long one run may take, such as 90s or 10m, besides the job's own timeout. None by default.",
    parse: parse.duration,
  }),
  leaseSec: withDefault({
    flag: 'lease-sec',
    value: 'N',
    fallback: '60',
    help: 'After how many seconds without a sign of this worker its jobs go to another: 1 to 3600.',
    parse: parse.integer(1, 3600),
  }),
  workerId: optional({
    flag: 'worker-id',
    value: 'ID',
    help: "Names this worker in the server's log. Default: host name and process id.",
    parse: parse.text,
  }),
  json: toggle('json', 'Print what happens as a JSON object a line.'),
  url: urlFlag,
};

const about = `Runs until it is told to stop. For each job it starts the program:

  stdin    the job's payload, as one line of JSON
  env      this worker's without MUSTER_TOKEN, and MUSTER_JOB_ID, MUSTER_JOB_KIND, MUSTER_JOB_ATTEMPT
  stdout   the result, as JSON; nothing at all is null. Anything else fails the job with invalid_result,
           not to be tried again
  stderr   passed through, each line behind the job's id; its end is the message if the job fails

  exit 0   the job is done
  exit 65  it failed for good (EX_DATAERR: the payload is wrong), with error code exit_65
  exit N   it failed and may be tried again, with error code exit_N
  signal   the same with signal_SIGSEGV or so
  timeout  the same with timeout

The program is killed with everything it has started, at first by SIGTERM, after 5 s by SIGKILL: when its job is
canceled or takes too long, and when the lease is lost because the server could not be reached in time.

The first Ctrl+C or SIGTERM: takes no more jobs and ends when those that run have ended. The second: kills them and
reports them as failed, to be tried again, with worker_stopped. The third ends the worker where it stands.
A server that cannot be reached is tried again, for ever.`;

export const workCommand = command({
  flags,
  about,
  async run(values) {
    outliveReader();
    const client = clientFor(values.url);
    const lines = createStderrLines(stderr);
    const worker = createWorker({
      client,
      workerId: values.workerId,
      kinds: values.kind,
      concurrency: values.concurrency,
      prefetch: values.prefetch,
      leaseSec: values.leaseSec,
      handler: createProgramHandler({
        command: values.exec,
        timeoutMs: values.timeout,
        onStderr: lines.add,
        onEnd: lines.end,
      }),
      log: values.json ? createJsonLog(stdout) : createTextLog(stdout, client.url),
    });
    const signals = stopOnSignals(worker);
    worker.start();
    try {
      await worker.finished;
    } catch (error) {
      await worker.stop({ graceMs: 0 });
      throw callError(error, client.url);
    } finally {
      signals.end();
      client.close();
    }
    return signals.killed ? exitCodes.interrupted : exitCodes.ok;
  },
});

function stopOnSignals(worker: Worker): { readonly killed: boolean; end(): void } {
  let count = 0;
  const onSignal = (): void => {
    count += 1;
    if (count === 1) {
      stderr.line('muster: letting running jobs end; once more kills them');
      void worker.stop({ graceMs: Infinity });
    } else if (count === 2) {
      stderr.line('muster: killing running jobs');
      void worker.stop({ graceMs: 0 });
    } else {
      process.exit(exitCodes.interrupted);
    }
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  return {
    get killed() {
      return count > 1;
    },
    end() {
      process.off('SIGINT', onSignal);
      process.off('SIGTERM', onSignal);
    },
  };
}
