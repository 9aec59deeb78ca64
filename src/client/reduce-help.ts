import type { ChunkedMap } from './chunked-map.js';
import type { LedgerEvent } from './event-json.js';
import { told } from './told.js';

/** A request for help as REST prints it. What no event has told is undefined: of one that was asked before the first event that was reduced. */
export interface HelpRow {
  readonly id: string;
  readonly task_id: string;
  readonly from_status: 'Pending' | 'InProgress' | 'InReview' | undefined;
  readonly category: 'Clarification' | 'Decision' | 'TechnicalBlocker' | 'Unexpected' | undefined;
  readonly reason: string | undefined;
  readonly suggested_options: readonly string[] | undefined;
  readonly status: 'Pending' | 'Responded' | 'Resolved' | 'Cancelled' | undefined;
  readonly response: string | null | undefined;
  readonly chosen_option: number | null | undefined;
  readonly created_at: string | undefined;
  readonly responded_at: string | null | undefined;
  readonly resumed_at: string | null | undefined;
  readonly deadline_at: string | null | undefined;
  readonly default_response: string | null | undefined;
  readonly default_option: number | null | undefined;
  readonly answered_by_default: boolean | undefined;
}

type HelpRows = ChunkedMap<readonly HelpRow[]>;

/** What was asked on each task after one more event, oldest first. Others than those of help leave it as it is. */
export function helpAfter(help: HelpRows, event: LedgerEvent): HelpRows {
  const { type, task_id } = event;
  if (task_id === null) return help;
  switch (type) {
    case 'HelpRequested':
      return withRow(help, task_id, { ...unanswered, ...rowOf(task_id, event) });
    case 'HelpResponded':
    case 'HelpResumed':
    case 'HelpCancelled':
      return withRow(help, task_id, rowOf(task_id, event));
    case 'TaskDeleted':
      return help.without(task_id);
    default:
      return help;
  }
}

type Told = Partial<HelpRow> & Pick<HelpRow, 'id' | 'task_id'>;

/** The rows of a task with what is told of one of them. */
function withRow(help: HelpRows, taskId: string, news: Told): HelpRows {
  const rows = help.get(taskId) ?? [];
  const place = rows.findIndex(({ id }) => id === news.id);
  const row: HelpRow = { ...unknown, ...rows[place], ...news };
  return help.with(taskId, place < 0 ? [...rows, row] : rows.with(place, row));
}

const unknown: Omit<HelpRow, 'id' | 'task_id'> = {
  from_status: undefined,
  category: undefined,
  reason: undefined,
  suggested_options: undefined,
  status: undefined,
  response: undefined,
  chosen_option: undefined,
  created_at: undefined,
  responded_at: undefined,
  resumed_at: undefined,
  deadline_at: undefined,
  default_response: undefined,
  default_option: undefined,
  answered_by_default: undefined,
};

/** The event of a new request does not tell that nothing has happened to it yet. */
const unanswered = {
  response: null,
  chosen_option: null,
  responded_at: null,
  resumed_at: null,
  answered_by_default: false,
};

function rowOf(taskId: string, event: LedgerEvent): Told {
  return { ...told<HelpRow>(event, Object.keys(unknown)), id: String(event.payload['help_id']), task_id: taskId };
}
