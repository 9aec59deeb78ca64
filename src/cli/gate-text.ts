import { type Gate, type GateResult, GateResultSchema, GateSchema } from '../client/index.js';
import { firstLine } from '../platform/text.js';
import { restShape } from './job-json.js';
import { alignColumns, durationText, type Output, printable, type Style } from './output.js';

/** A gate in the documented words, as REST has it. */
export interface ShownGate {
  readonly id: string;
  readonly scope: { readonly type: string; readonly id: string };
  readonly name: string;
  readonly command: string;
  readonly timeout_secs: number;
  readonly max_retries: number;
  readonly source: string;
}

/** An attempt of a gate in the documented words, as REST has it. */
export interface ShownResult {
  readonly gate_id: string;
  readonly name: string;
  readonly status: string;
  readonly stdout: string;
  readonly stderr: string;
  readonly exit_code: number | null;
  readonly attempt: number;
  readonly started_at: string;
  readonly completed_at: string | null;
  readonly runs: number;
  readonly next_run_at: string | null;
  readonly round: number;
}

export function shownGate(gate: Gate | undefined): ShownGate {
  if (gate === undefined) throw new Error('the server answered without a gate');
  return restShape(GateSchema, gate) as unknown as ShownGate;
}

export function shownResult(result: GateResult): ShownResult {
  return restShape(GateResultSchema, result) as unknown as ShownResult;
}

/** Lines of a table, its head first. */
export function gateTable(gates: readonly ShownGate[], { style }: Output): string[] {
  const head = ['NAME', 'OF', 'FROM', 'TIMEOUT', 'ATTEMPTS', 'COMMAND', 'ID'];
  return alignColumns([
    head.map((name) => style.dim(name)),
    ...gates.map((gate) => [
      printable(gate.name),
      gate.scope.id,
      gate.source,
      durationText(gate.timeout_secs * 1000),
      String(Math.max(1, gate.max_retries)),
      firstLine(printable(gate.command), 60),
      gate.id,
    ]),
  ]);
}

/** A line for each gate: its name and its command. */
export function gateLines(gates: readonly ShownGate[]): string[] {
  return alignColumns(gates.map(({ name, command }) => [printable(name), firstLine(printable(command), 60)]));
}

/** Lines of a table, its head first. */
export function resultTable(results: readonly ShownResult[], { style }: Output): string[] {
  const head = ['GATE', 'STATUS', 'ATTEMPT', 'EXIT', 'TOOK', 'RUNS', 'ROUND', 'STARTED'];
  return alignColumns([
    head.map((name) => style.dim(name)),
    ...results.map((result) => [
      printable(result.name),
      colouredStatus(result.status, style),
      String(result.attempt),
      result.exit_code === null ? '-' : String(result.exit_code),
      tookText(result) ?? '-',
      String(result.runs),
      String(result.round),
      result.started_at,
    ]),
  ]);
}

/** A line for each attempt: the gate's name, and what has become of it. */
export function resultLines(results: readonly ShownResult[], output: Output): string[] {
  return alignColumns(results.map((result) => [printable(result.name), stateText(result, output)]));
}

/** What has become of an attempt: `Failed with exit code 1 in 2.1 s, attempt 2`. */
export function stateText(result: ShownResult, { style }: Output): string {
  const { status, attempt, runs, exit_code: code, completed_at: end, next_run_at: next } = result;
  const took = tookText(result);
  const facts = [
    ...(end !== null && code !== null && code !== 0 ? [`with exit code ${code}`] : []),
    ...(took === undefined ? [] : [`in ${took}`]),
    ...(next !== null && runs > 0 ? [`until ${next}`] : []),
  ];
  const nth = runs > 1 ? `attempt ${attempt}, run ${runs}` : `attempt ${attempt}`;
  return `${[colouredStatus(status, style), ...facts].join(' ')}, ${style.dim(nth)}`;
}

/** What an attempt has printed, below a line that tells what it is of. */
export function printedText(result: ShownResult, output: Output): string {
  const { style } = output;
  const streams = [
    ['stdout', result.stdout],
    ['stderr', result.stderr],
  ] as const;
  const told = streams.filter(([, text]) => text.trim() !== '');
  return [
    `${style.bold(printable(result.name))} ${stateText(result, output)}`,
    ...told.flatMap(([name, text]) => [
      `  ${style.dim(name)}`,
      `    ${plain(text).trimEnd().replaceAll('\n', '\n    ')}`,
    ]),
    ...(told.length === 0 ? [`  ${style.dim('It has printed nothing.')}`] : []),
  ].join('\n');
}

/** What a program prints, without its colours, what it has written over, and all else that could move the cursor. */
export function plain(text: string): string {
  // oxlint-disable-next-line no-control-regex -- that is what a colour begins with
  const colourless = text.replaceAll(/\u001b\[[\d;]*m/g, '');
  return printable(colourless.replaceAll(/\r+\n/g, '\n').replaceAll(/[^\n]*\r(?=[^\n])/g, ''));
}

/** Those of the last round: of the gates as they were run last. */
export function lastRound(results: readonly ShownResult[]): readonly ShownResult[] {
  const round = results.at(-1)?.round;
  return results.filter((result) => result.round === round);
}

function tookText({ started_at: from, completed_at: to, runs }: ShownResult): string | undefined {
  return to === null || runs === 0 ? undefined : durationText(Date.parse(to) - Date.parse(from));
}

function colouredStatus(status: string, { green, red, yellow, cyan, dim }: Style): string {
  switch (status) {
    case 'Passed':
      return green(status);
    case 'Pending':
      return yellow(status);
    case 'Running':
      return cyan(status);
    case 'Cancelled':
      return dim(status);
    default:
      return red(status);
  }
}
