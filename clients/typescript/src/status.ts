/** gRPC's errors, and errors of items in a batch, as the client's own. */

import { Metadata, status as codes, type ServiceError } from "@grpc/grpc-js";

import type { Any } from "../gen/google/protobuf/any.js";
import { BadRequest, ErrorInfo, ResourceInfo, RetryInfo } from "../gen/google/rpc/error_details.js";
import { Status as WireStatus } from "../gen/google/rpc/status.js";
import type { SubmitError } from "../gen/penstock/v1/job_service.js";
import * as errors from "./errors.js";
import { millisecondsOf } from "./from-wire.js";

const WHERE = "Is it running there? PENSTOCK_ADDRESS or the client's address say where to look";

/** The one table of status codes; a code that is not listed is Internal. */
const CLASS_BY_CODE: Readonly<
  Record<string, new (...args: StatusErrorArguments) => errors.StatusError>
> = {
  ALREADY_EXISTS: errors.AlreadyExists,
  // No gateway sends it: one that stops, or a proxy, gave the call up on the way.
  CANCELLED: errors.Unavailable,
  DEADLINE_EXCEEDED: errors.DeadlineExceeded,
  FAILED_PRECONDITION: errors.FailedPrecondition,
  INVALID_ARGUMENT: errors.InvalidRequest,
  NOT_FOUND: errors.NotFound,
  OUT_OF_RANGE: errors.CursorOutOfRange,
  PERMISSION_DENIED: errors.PermissionDenied,
  RESOURCE_EXHAUSTED: errors.ResourceExhausted,
  UNAUTHENTICATED: errors.Unauthenticated,
  UNAVAILABLE: errors.Unavailable,
  UNIMPLEMENTED: errors.Unimplemented,
};

type StatusErrorArguments = ConstructorParameters<typeof errors.StatusError>;

/**
 * The error for a call that ended with a status other than OK.
 *
 * @param error - what gRPC raised.
 * @param address - of the gateway, to say what cannot be reached.
 */
export function errorOf(error: ServiceError, address: string): errors.StatusError {
  const details = detailsOf(error.metadata);
  const code = codeOf(error.code);
  // Without details it was made on this side of the wire: nobody answered.
  const message = details.length > 0 ? error.details : unansweredOf(code, error.details, address);
  return build(code, message, details, { cause: error });
}

function unansweredOf(code: string, details: string, address: string): string {
  const reason = details.replace(/\.$/, "");
  switch (code) {
    case "UNAVAILABLE":
      return `no gateway answers at ${address} (${reason}). ${WHERE}`;
    case "CANCELLED":
      return `the call was given up on the way to ${address} (${reason})`;
    case "DEADLINE_EXCEEDED":
      return `no answer from ${address} in time (${reason})`;
    default:
      return details;
  }
}

/** The error of one item of a batch. */
export function itemErrorOf(error: SubmitError): errors.StatusError {
  return build(codeOf(error.code), error.message, error.details);
}

function build(
  code: string,
  message: string,
  details: readonly Any[],
  options?: ErrorOptions,
): errors.StatusError {
  return new (CLASS_BY_CODE[code] ?? errors.Internal)(statusOf(code, message, details), options);
}

function codeOf(number: number): string {
  return codes[number] ?? "UNKNOWN";
}

function detailsOf(metadata: Metadata | undefined): readonly Any[] {
  const [value] = metadata?.get("grpc-status-details-bin") ?? [];
  if (value === undefined || typeof value === "string") return [];
  try {
    return WireStatus.decode(value).details;
  } catch {
    return []; // Some proxy's; the code and message still tell enough.
  }
}

function statusOf(code: string, message: string, details: readonly Any[]): errors.Status {
  const info = unpack(details, "google.rpc.ErrorInfo", ErrorInfo);
  const request = unpack(details, "google.rpc.BadRequest", BadRequest);
  const retry = unpack(details, "google.rpc.RetryInfo", RetryInfo);
  const resource = unpack(details, "google.rpc.ResourceInfo", ResourceInfo);
  return {
    code,
    message,
    reason: info?.reason ?? "",
    metadata: info?.metadata ?? {},
    violations: (request?.fieldViolations ?? []).map(({ field, description }) => ({
      field,
      description,
    })),
    retryAfterMs: retry && millisecondsOf(retry.retryDelay ?? { seconds: 0, nanos: 0 }),
    resource: resource && { type: resource.resourceType, name: resource.resourceName },
  };
}

function unpack<Message>(
  details: readonly Any[],
  name: string,
  type: { decode(data: Uint8Array): Message },
): Message | undefined {
  const detail = details.find(({ typeUrl }) => typeUrl.endsWith(`/${name}`));
  return detail && type.decode(detail.value);
}
