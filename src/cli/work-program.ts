import { isUtf8 } from 'node:buffer';
import { JobFailure, type JobHandler } from '../client/index.js';
import { faultOfJson } from '../platform/json.js';
import { outputText, runProgram, type RunResult } from '../platform/process-tree.js';

export interface ProgramOptions {
  /** Run by /bin/sh -c. */
  readonly command: string;
  /** Bounds every run, besides the job's own timeout; milliseconds. */
  readonly timeoutMs: number | undefined;
  readonly onStderr: (jobId: string, chunk: Buffer) => void;
  /** Called when a job's program has ended and nothing more of its stderr will come. */
  readonly onEnd: (jobId: string) => void;
}

/** Results are kept up to 1 MiB of compact JSON; a program may write them with more space between. */
const maxStdoutBytes = 8 * 1024 * 1024;
/** The server keeps 16 KiB of an error's message. */
const maxStderrBytes = 8 * 1024;
/** EX_DATAERR of sysexits.h: the input is wrong, and will be wrong the next time. */
const dataError = 65;

/** Runs a program per job: payload on stdin, result from stdout, exit code as verdict. */
export function createProgramHandler({ command, timeoutMs, onStderr, onEnd }: ProgramOptions): JobHandler {
  return async (job, { signal }) => {
    // Whoever wrote the program is not who the worker is.
    const { MUSTER_TOKEN: _, ...env } = process.env;
    const limitMs = Math.min(timeoutMs ?? Infinity, (job.timeoutSec ?? Infinity) * 1000);
    const result = await runProgram({
      command,
      env: {
        ...env,
        MUSTER_JOB_ID: job.id,
        MUSTER_JOB_KIND: job.kind,
        MUSTER_JOB_ATTEMPT: String(job.attempts),
      } as Record<string, string>,
      stdin: `${JSON.stringify(job.payload)}\n`,
      ...(limitMs !== Infinity && { timeoutMs: limitMs }),
      signal,
      maxStdoutBytes,
      maxStderrBytes,
      onStderr: (chunk) => onStderr(job.id, chunk),
    });
    onEnd(job.id);
    return resultOf(result, limitMs);
  };
}

function resultOf(result: RunResult, limitMs: number): unknown {
  const { outcome, exitCode, signal, reason } = result;
  switch (outcome) {
    case 'exited':
      if (exitCode === 0) return parseResult(result);
      throw new JobFailure(`exit_${exitCode}`, said(result, `The program ended with exit code ${exitCode}.`), {
        retryable: exitCode !== dataError,
      });
    case 'signaled':
      throw new JobFailure(`signal_${signal}`, said(result, `The program was ended by ${signal}.`), {
        retryable: true,
      });
    case 'timeout':
      throw new JobFailure('timeout', said(result, `The program took longer than ${limitMs / 1000} s.`), {
        retryable: true,
      });
    case 'not_started':
      throw new JobFailure('not_started', `The program could not be started: ${reason}`, { retryable: true });
    case 'canceled':
      // Why is known to who aborted.
      throw new JobFailure('canceled', 'The program was stopped.', { retryable: true });
  }
}

function parseResult({ stdout }: RunResult): unknown {
  if (stdout.truncated) {
    throw new JobFailure('invalid_result', `stdout: ${stdout.totalBytes} bytes are too many for a result`);
  }
  // Its bytes would be kept as other ones.
  if (!isUtf8(stdout.bytes)) throw new JobFailure('invalid_result', 'stdout: is not UTF-8');
  const text = outputText(stdout).trim();
  if (text === '') return null;
  const result = parseJson(text);
  const fault = faultOfJson(result);
  if (fault !== undefined) throw new JobFailure('invalid_result', `stdout: ${fault}`);
  return result;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    const start = text.length > 200 ? `${text.slice(0, 200)}…` : text;
    throw new JobFailure('invalid_result', `stdout: is no JSON: ${start}`, { cause: error });
  }
}

/** What the program said on stderr; for one that said nothing, what can be said of it. */
function said({ stderr }: RunResult, otherwise: string): string {
  const text = outputText(stderr).trim();
  return text === '' ? otherwise : text;
}
