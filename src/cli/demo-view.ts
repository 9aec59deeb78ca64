import type { DemoJob } from './demo-jobs.js';
import type { WorkLine } from './demo-workers.js';
import type { ShownJob } from './job-text.js';
import { colouredStatus } from './job-text.js';
import { alignColumns, durationText, type Output } from './output.js';

export interface DemoView {
  /** What a worker has said. */
  worked(worker: string, line: WorkLine, job: DemoJob | undefined): void;
  /** Ends the moving part. */
  end(): void;
}

/** On a terminal a bar that moves, and a line for what is out of the ordinary; elsewhere a line for each job that ends. */
export function createDemoView(output: Output, total: number): DemoView {
  const { dim, green, red, yellow } = output.style;
  let ended = 0;
  let running = 0;
  let isOver = false;

  function note(text: string): void {
    output.line(`${output.isTerminal ? '\r\u001b[K' : ''}  ${text}`);
  }
  function draw(): void {
    if (!output.isTerminal) return;
    const width = 30;
    const full = Math.round((ended / total) * width);
    const bar = green('█'.repeat(full)) + dim('░'.repeat(width - full));
    output.text(`\r\u001b[K  ${bar} ${ended} of ${total} ended, ${running} running`);
  }

  return {
    worked(worker, line, job) {
      // The server may tell of the last end before the worker does.
      if (job === undefined || isOver) return;
      const by = dim(`(${worker}, ${durationText(line.ms ?? 0)})`);
      switch (line.event) {
        case 'job_started':
          running += 1;
          break;
        case 'job_stopped':
          running -= 1;
          ended += 1;
          note(`${yellow('stopped')}  ${job.label}: ${line.reason}, its program was killed ${by}`);
          break;
        case 'job_ended':
          running -= 1;
          if (line.status === 'queued') {
            note(`${yellow('failed')}   ${job.label}: ${line.error?.code}, will be tried again ${by}`);
          } else {
            ended += 1;
            if (line.status === 'error') note(`${red('failed')}   ${job.label}: ${line.error?.code}, for good ${by}`);
            else if (!output.isTerminal) note(`${green('done')}     ${job.label} ${by}`);
          }
          break;
        default:
          return;
      }
      draw();
    },
    end() {
      isOver = true;
      if (output.isTerminal) output.text('\r\u001b[K');
    },
  };
}

export interface DemoResult {
  readonly demo: DemoJob;
  readonly job: ShownJob;
  /** Who ran the last attempt. */
  readonly worker: string;
}

export function summary(results: readonly DemoResult[], output: Output): string {
  const { style } = output;
  const head = ['FILE', 'STATUS', 'ATTEMPTS', 'WORKER', 'LINES', 'SHA-256 OR ERROR'].map((name) => style.bold(name));
  return alignColumns([
    head,
    ...results.map(({ demo, job, worker }) => {
      const result = job.result as { readonly lines: number; readonly sha256: string } | null;
      const what = result === null ? (job.error?.code ?? '') : `${result.sha256.slice(0, 16)}…`;
      const lines = result === null ? '' : String(result.lines).padStart(5);
      return [demo.label, colouredStatus(job.status, style), String(job.attempts), worker, lines, what];
    }),
  ])
    .map((line) => `  ${line}`)
    .join('\n');
}
