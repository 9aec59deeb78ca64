import { lstat, mkdir } from 'node:fs/promises';
import path from 'node:path';
import { messageOf } from '../../errors.js';
import { removeTree, sweepLeftovers } from '../../platform/files/remove-tree.js';
import {
  type CapturedOutput,
  endMarkedProcesses,
  outputText,
  runMarkOf,
  runProgram,
  type RunResult,
} from '../../platform/process-tree.js';
import { withNotes } from './notes.js';

export interface GateCommand {
  /** Run by `/bin/sh -c`. */
  readonly command: string;
  /** Where it runs: an absolute path of a folder, and no symbolic link. */
  readonly worktree: string;
  readonly timeoutMs: number;
  /** Of this run alone; whoever knows it can end what a death has left of the run. */
  readonly mark: string;
  /** A folder for HOME and TMPDIR, which is made, and is gone afterwards. What is there before is taken for a leftover. */
  readonly scratch: string;
  /** The `MUSTER_*` variables. */
  readonly env: Readonly<Record<string, string>>;
  /** Sees all of the output as it comes, with characters cut anywhere. Must not throw. */
  readonly onOutput?: (stream: 'stdout' | 'stderr', chunk: Buffer) => void;
  /** An abort stops it, as a timeout does. */
  readonly signal: AbortSignal;
  /** From SIGTERM to SIGKILL; 5000 by default. */
  readonly graceMs?: number;
}

export interface GateOutcome {
  readonly status: 'Passed' | 'Pending' | 'Failed' | 'Timeout' | 'Stopped';
  /** Of a program that has ended by itself. */
  readonly exitCode?: number;
  /**
   * The first and the last 32 KiB, with a line between that counts what is left out. What is no UTF-8, and NUL, has become
   * U+FFFD, of three bytes each.
   */
  readonly stdout: string;
  /** The same, and in lines of its own at its end what else there is to say. */
  readonly stderr: string;
}

const maxOutputBytes = 64 * 1024;
/** EX_TEMPFAIL of sysexits.h: ask again later. */
const pendingCode = 75;

/**
 * Runs the command of a gate to its end, and leaves no process of it behind. Of the server's environment it sees PATH alone.
 * Rejects only when the scratch folder cannot be made; whatever the command does is told by the outcome.
 */
export async function runGateCommand(gate: GateCommand): Promise<GateOutcome> {
  if (gate.signal.aborted) return { status: 'Stopped', stdout: '', stderr: '' };
  const [home, tmp] = await makeScratch(gate.scratch);
  const outcome = (await isLink(gate.worktree))
    ? notStarted(`working directory: ${gate.worktree} is a symbolic link`)
    : outcomeOf(await run(gate, home, tmp), gate);
  try {
    await removeTree(gate.scratch);
    return outcome;
  } catch (error) {
    // As of a file that may not be deleted, or a file system that it has mounted there.
    return noted(outcome, [`cannot remove ${gate.scratch}: ${messageOf(error)}`]);
  }
}

/**
 * Ends by SIGKILL whatever a run of this mark has left on this machine whose server was killed; to be called before such a run
 * is begun anew, and never while it goes on. Answers the pids that would not end, as those of another user.
 *
 * Where there is no /proc (macOS) processes do not show their mark: none is found then, and a command that a killed server
 * has left runs on to its own end.
 *
 * @throws AppError `unavailable` when the process table cannot be read.
 */
export async function endLeftovers(mark: string): Promise<readonly number[]> {
  return endMarkedProcesses(runMarkOf(mark));
}

/** Removes a folder for HOME and TMPDIR that a run has left whose server was killed. */
export async function clearScratch(scratch: string): Promise<void> {
  await sweepLeftovers(scratch);
  await removeTree(scratch);
}

async function makeScratch(scratch: string): Promise<readonly [home: string, tmp: string]> {
  const [home, tmp] = [path.join(scratch, 'home'), path.join(scratch, 'tmp')];
  await clearScratch(scratch);
  await mkdir(home, { recursive: true, mode: 0o700 });
  await mkdir(tmp, { mode: 0o700 });
  return [home, tmp];
}

async function run(gate: GateCommand, home: string, tmp: string): Promise<RunResult> {
  return runProgram({
    command: gate.command,
    cwd: gate.worktree,
    env: { ...gate.env, PATH: process.env['PATH'] ?? '/usr/bin:/bin', HOME: home, LANG: 'C.UTF-8', TMPDIR: tmp },
    timeoutMs: gate.timeoutMs,
    signal: gate.signal,
    ...(gate.graceMs !== undefined && { graceMs: gate.graceMs }),
    mark: runMarkOf(gate.mark),
    keepStdout: 'head_and_tail',
    maxStdoutBytes: maxOutputBytes,
    maxStderrBytes: maxOutputBytes,
    onStdout: (chunk) => gate.onOutput?.('stdout', chunk),
    onStderr: (chunk) => gate.onOutput?.('stderr', chunk),
  });
}

function outcomeOf(result: RunResult, gate: GateCommand): GateOutcome {
  const { exitCode, survivors } = result;
  const output = { stdout: textOf(result.stdout), stderr: textOf(result.stderr) };
  const left = survivors.length === 0 ? [] : [`processes that would not end: ${survivors.join(', ')}`];
  switch (result.outcome) {
    case 'exited': {
      const status = exitCode === 0 ? 'Passed' : exitCode === pendingCode ? 'Pending' : 'Failed';
      return noted({ status, ...(exitCode !== null && { exitCode }), ...output }, left);
    }
    case 'signaled':
      return noted({ status: 'Failed', ...output }, [`ended by ${result.signal}`, ...left]);
    case 'timeout':
      return noted({ status: 'Timeout', ...output }, [`took longer than ${gate.timeoutMs / 1000} s`, ...left]);
    case 'canceled':
      return noted({ status: 'Stopped', ...output }, left);
    case 'not_started':
      return notStarted(result.reason ?? '');
  }
}

/** It would run wherever the link leads to. */
async function isLink(folder: string): Promise<boolean> {
  return (await lstat(folder).catch(() => undefined))?.isSymbolicLink() === true;
}

function notStarted(reason: string): GateOutcome {
  return noted({ status: 'Failed', stdout: '', stderr: '' }, [`cannot start: ${reason}`]);
}

/** Text as Postgres can hold it. */
function textOf(output: CapturedOutput): string {
  return outputText(output).replaceAll('\0', '\uFFFD');
}

function noted(outcome: GateOutcome, notes: readonly string[]): GateOutcome {
  return { ...outcome, stderr: withNotes(outcome.stderr, notes) };
}
