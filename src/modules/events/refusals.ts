import { AppError, invalidField } from '../../errors.js';

/** Somebody asks for what comes after an event, of which the beginning is no longer kept. */
export function expired(after: number, oldest: number): AppError {
  return invalidField('after', `events up to ${oldest - 1} have expired; the oldest that is kept is ${oldest}`, {
    after,
    oldest_seq: oldest,
  });
}

/** A reader took too long to take what it was told; `after` is what it was told last. */
export function tooSlow(after: number): AppError {
  return new AppError('unavailable', `You read too slowly; go on after ${after}.`, {
    details: { resume_after: after },
  });
}
