import { AppError, invalidField } from '../../errors.js';

/** Somebody asks for what comes after an event, of which the beginning is no longer kept. */
export function expired(after: number, oldest: number): AppError {
  return invalidField('after', `events up to ${oldest - 1} have expired; the oldest that is kept is ${oldest}`, {
    after,
    oldest_seq: oldest,
  });
}
