import { expect } from 'vitest';
import { emptyLedgerState, type LedgerEvent, reduceEvents } from '../../../../src/client/index.js';
import type { HelpClient } from '../../../support/help-client.js';

/** What the ledger comes to must be what the server has of these tasks. */
export async function expectHelpReduced(
  help: HelpClient,
  events: readonly LedgerEvent[],
  taskIds: readonly string[],
): Promise<void> {
  const state = reduceEvents(emptyLedgerState({ filtered: true }), events);
  for (const id of taskIds) expect((state.help.get(id) ?? []).toReversed()).toEqual(await help.list(id));
}
