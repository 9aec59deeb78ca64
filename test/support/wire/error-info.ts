import { fromBinary, toJson } from '@bufbuild/protobuf';
import { ErrorInfoSchema } from '../../../gen/muster/v1/errors_pb.js';

/** The facts of a muster.v1.ErrorInfo as bytes, such as from grpc-status-details-bin. */
export function readInfo(bytes: Uint8Array): unknown {
  return toJson(ErrorInfoSchema, fromBinary(ErrorInfoSchema, bytes), { useProtoFieldName: true });
}
