const dayMs = 24 * 3600_000;
const padded = (count: number, digits: number): readonly string[] =>
  Array.from({ length: count }, (_, number) => String(number).padStart(digits, '0'));
const two = padded(60, 2);
const three = padded(1000, 3);
/** The day that was last asked for, which is nearly always the same. */
let known = { day: NaN, text: '' };

/** What `toISOString` gives, at a fraction of its cost, which is a microsecond. Throws as it does for a date that is none. */
export function isoText(date: Date): string {
  const ms = date.getTime();
  const day = Math.floor(ms / dayMs);
  if (day !== known.day) known = { day, text: new Date(day * dayMs).toISOString().slice(0, -'00:00:00.000Z'.length) };
  const time = ms - day * dayMs;
  const seconds = Math.floor(time / 1000);
  const minutes = Math.floor(seconds / 60);
  const clock = `${two[Math.floor(minutes / 60)]}:${two[minutes % 60]}:${two[seconds % 60]}`;
  return `${known.text}${clock}.${three[time % 1000]}Z`;
}
