import { AppError, invalidField } from '../../errors.js';

/** Somebody asks for what comes after an event, of which the beginning is no longer kept; or before one, of which nothing is. */
export function expired(field: 'after' | 'before', seq: number, oldest: number): AppError {
  return invalidField(field, `events up to ${oldest - 1} have expired; the oldest that is kept is ${oldest}`, {
    [field]: seq,
    oldest_seq: oldest,
  });
}

/** Somebody asks for what comes after an event that is yet to come, such as one of a ledger of which an older copy was restored. */
export function yetToCome(after: number, newest: number): AppError {
  return invalidField('after', `the newest event is ${newest}`, { after, newest_seq: newest });
}

/** A reader took too long to take what it was told; `after` is what it was told last. */
export function tooSlow(after: number): AppError {
  return new AppError('unavailable', `You read too slowly; go on after ${after}.`, {
    details: { resume_after: after },
  });
}
