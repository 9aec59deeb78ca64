import type { Log, LogFields } from '../../../src/platform/log.js';

export interface Line {
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  readonly event: string;
  readonly fields: LogFields;
}

/** A log to look into. */
export function createRecordingLog(): Log & {
  readonly lines: readonly Line[];
  /** Resolves with the first line that passes, written already or later. */
  seen(test: (line: Line) => boolean): Promise<Line>;
} {
  const lines: Line[] = [];
  const waiting = new Set<(line: Line) => void>();
  const at =
    (level: Line['level']) =>
    (event: string, fields: LogFields = {}): void => {
      const line = { level, event, fields };
      lines.push(line);
      for (const look of waiting) look(line);
    };
  return {
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
    infoEnabled: true,
    lines,
    seen: (test) =>
      new Promise((done) => {
        const look = (line: Line): void => {
          if (!test(line)) return;
          waiting.delete(look);
          done(line);
        };
        waiting.add(look);
        lines.forEach(look);
      }),
  };
}
