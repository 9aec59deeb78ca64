import { followEvents, headOf, type MusterClient } from '../client/index.js';
import { CommandError, exitCodes } from './errors.js';
import { type ShownHelp, shownHelp } from './help-text.js';
import { sayLost } from './server-access.js';

/** Where to begin to listen: before what is waited for is asked, so that its end cannot be missed. */
export const placeToListen = headOf;

/**
 * The request as it is when it has ended: resumed or cancelled. A connection that is lost is made anew. Throws CommandError when its task is
 * deleted meanwhile.
 */
export async function untilEnded(
  client: MusterClient,
  { id, task_id: taskId }: Pick<ShownHelp, 'id' | 'task_id'>,
  after: bigint,
): Promise<ShownHelp> {
  const type = ['HelpResumed', 'HelpCancelled', 'TaskDeleted'];
  const options = { reached: true, onLost: (error: unknown, retryInMs: number) => sayLost(client, error, retryInMs) };
  for await (const event of followEvents(client, after, { type, taskId }, options)) {
    if (event.type === 'TaskDeleted') {
      throw new CommandError(`${taskId} was deleted before anybody resumed it`, exitCodes.failed);
    }
    if (event.payload?.['help_id'] === id) return await findRequest(client, taskId, id);
  }
  throw new Error('the ledger has come to an end');
}

async function findRequest(client: MusterClient, taskId: string, id: string): Promise<ShownHelp> {
  let cursor: string | undefined;
  do {
    const page = await client.help.listHelpRequests({ taskId, ...(cursor !== undefined && { cursor }) });
    const found = page.helpRequests.find((each) => each.id === id);
    if (found !== undefined) return shownHelp(found);
    cursor = page.nextCursor;
  } while (cursor !== undefined);
  throw new Error(`the server answered without ${id}`);
}
