/**
 * How an RPC message may look. A JSON level is up to three message levels (Value, Struct, map entry), so 128 levels of
 * JSON need more than the library's default of 100.
 */
export const maxMessageDepth = 512;

/** Unknown fields are ignored, as protobuf wants it; the REST gateway is stricter. */
export const binaryReadOptions = { recursionLimit: maxMessageDepth };
export const jsonReadOptions = { recursionLimit: maxMessageDepth, ignoreUnknownFields: true };
