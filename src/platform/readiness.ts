import { messageOf } from '../errors.js';
import type { Database } from './db/db.js';

/** Whether the server can serve, which takes its database. */
export interface Readiness {
  /** Why it cannot; undefined when it can. Answers within two seconds. */
  whyNot(): Promise<string | undefined>;
}

export interface ReadinessDeps {
  readonly db: Pick<Database, 'ping'>;
  /** Aborts when the server is about to stop. */
  readonly stopping: AbortSignal;
}

const answerMs = 2000;

export function createReadiness({ db, stopping }: ReadinessDeps): Readiness {
  return {
    async whyNot() {
      if (stopping.aborted) return 'the server is stopping';
      let timer: NodeJS.Timeout | undefined;
      try {
        await Promise.race([
          db.ping(),
          new Promise((_, reject) => {
            timer = setTimeout(() => reject(new Error('the database does not answer')), answerMs);
          }),
        ]);
        return undefined;
      } catch (error) {
        return messageOf(error);
      } finally {
        clearTimeout(timer);
      }
    },
  };
}
