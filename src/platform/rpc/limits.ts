/**
 * How an RPC message may look. A JSON level is up to three message levels (Value, Struct, map entry), so 128 levels of
 * JSON need more than the library's default of 100.
 */
export const maxMessageDepth = 512;

/**
 * Unknown fields are ignored, as protobuf wants it; the REST gateway is stricter. With them go unknown names of enums, which a request may not
 * have (enum-names.ts) and an answer of a newer server may.
 */
export const binaryReadOptions = { recursionLimit: maxMessageDepth };
export const jsonReadOptions = { recursionLimit: maxMessageDepth, ignoreUnknownFields: true };

const firstTime = Date.parse('0001-01-01T00:00:00Z');
const lastTime = Date.parse('9999-12-31T23:59:59.999Z');

/** What google.protobuf.Timestamp and RFC 3339 have in common: years of four digits, 1 to 9999, in UTC. */
export function isWireTime(date: Date): boolean {
  return date.getTime() >= firstTime && date.getTime() <= lastTime;
}
