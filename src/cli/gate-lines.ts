import { plain, type ShownResult, stateText } from './gate-text.js';
import { type Output, printable } from './output.js';

/** A piece of what a gate prints, in the documented words. */
export interface ShownOutput {
  readonly gate_id: string;
  readonly name: string;
  readonly attempt: number;
  readonly run: number;
  readonly stream: 'stdout' | 'stderr';
  readonly text: string;
}

/** Prints what gates do, each line behind the name of its gate. */
export interface GateLines {
  output(piece: ShownOutput): void;
  result(result: ShownResult): void;
}

type Stream = ShownOutput['stream'];

/** What was told of a run, and what of that is no whole line yet. */
interface Told {
  readonly run: string;
  readonly stdout: { text: string; rest: string };
  readonly stderr: { text: string; rest: string };
}

/** Of what was too much to be told whole, how much of its end is told. */
const tailLength = 2000;

/** `names` are those of all gates there are, so that what they print is aligned. */
export function createGateLines(out: Output, names: readonly string[]): GateLines {
  const { style } = out;
  const width = Math.max(0, ...names.map((name) => name.length));
  const byGate = new Map<string, Told>();

  function toldOf(gateId: string, run: string): Told {
    const known = byGate.get(gateId);
    if (known?.run === run) return known;
    const told = { run, stdout: { text: '', rest: '' }, stderr: { text: '', rest: '' } };
    byGate.set(gateId, told);
    return told;
  }

  function say(name: string, text: string): void {
    out.line(`${style.bold(printable(name).padEnd(width))} ${text}`);
  }

  function sayPrinted(name: string, stream: Stream, text: string): void {
    const bar = stream === 'stderr' ? style.red('|') : style.dim('|');
    for (const line of plain(text).split('\n')) say(name, `${bar} ${line}`.trimEnd());
  }

  /** Tells what stands in the result and was not told while it ran, such as why it was stopped. */
  function sayLeft(name: string, stream: Stream, told: Told, stored: string): void {
    const { text, rest } = told[stream];
    const left = `${rest}${leftOf(text, stored)}`.replace(/\n$/, '');
    if (left !== '') sayPrinted(name, stream, left);
  }

  return {
    output({ gate_id, name, attempt, run, stream, text }) {
      const told = toldOf(gate_id, `${attempt} ${run}`)[stream];
      told.text += text;
      const lines = `${told.rest}${text}`.split('\n');
      told.rest = lines.pop() ?? '';
      if (lines.length > 0) sayPrinted(name, stream, lines.join('\n'));
    },
    result(result) {
      const { gate_id, name, attempt, runs, status } = result;
      if (status !== 'Running' && runs > 0) {
        const told = toldOf(gate_id, `${attempt} ${runs}`);
        const isHeard = told.stdout.text !== '' || told.stderr.text !== '';
        // Of one that had passed before anybody listened, nobody wants to know more.
        if (isHeard || status !== 'Passed') {
          sayLeft(name, 'stdout', told, result.stdout);
          sayLeft(name, 'stderr', told, result.stderr);
        }
        byGate.delete(gate_id);
      }
      say(name, `  ${stateText(result, out)}`);
    },
  };
}

function leftOf(told: string, stored: string): string {
  if (stored.startsWith(told)) return stored.slice(told.length);
  const tail = stored.slice(-tailLength);
  return `\n…\n${tail.slice(tail.indexOf('\n') + 1)}`;
}
