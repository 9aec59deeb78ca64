import { type Running, startMuster } from './muster.js';

/** A line of `muster work --json`. */
export interface WorkLine {
  readonly ts: string;
  readonly event: string;
  readonly job_id?: string;
  readonly kind?: string;
  readonly attempt?: number;
  readonly status?: string;
  readonly reason?: string;
  readonly ms?: number;
  readonly error?: { readonly code: string; readonly message: string; readonly retryable: boolean } | string | null;
}

export interface WorkProcess extends Running {
  events(): readonly WorkLine[];
  /** The first line of this event, past or future, of this job if one is named. */
  event(name: string, jobId?: string): Promise<WorkLine>;
}

/** `muster work --json` on one kind. */
export function startWork(url: string, kind: string, exec: string, ...more: readonly string[]): WorkProcess {
  const running = startMuster(['work', '--json', '--url', url, '--kind', kind, '--exec', exec, ...more]);
  return {
    ...running,
    events: () => running.lines.map((line) => JSON.parse(line) as WorkLine),
    event: (name, jobId) =>
      running.line(`the event ${name} of ${jobId ?? 'any job'}`, (line) => {
        const seen = JSON.parse(line) as WorkLine;
        return seen.event === name && (jobId === undefined || seen.job_id === jobId) && seen;
      }),
  };
}
