/**
 * Everything that the client raises, except that an aborted call rejects with its signal's reason.
 *
 * The tree:
 *
 *     PenstockError
 *     ├── StatusError            the gateway (or the way to it) refused a call
 *     │   ├── InvalidRequest     violations: one for each rule that the request breaks
 *     │   ├── CursorOutOfRange   a watch begins beyond the job's newest event
 *     │   ├── NotFound           no such job or queue, or it is past its retention
 *     │   ├── AlreadyExists      a request id or idempotency key stands for other work
 *     │   ├── FailedPrecondition sound, but not in the present state of things; see its reason
 *     │   ├── PermissionDenied
 *     │   ├── Unauthenticated
 *     │   ├── ResourceExhausted  a limit is reached; retryAfterMs
 *     │   ├── Unavailable        no gateway, or none that can serve now; retryAfterMs
 *     │   ├── DeadlineExceeded   no answer in time
 *     │   ├── Unimplemented      the gateway is older than this client
 *     │   └── Internal           a fault of the gateway, or an answer that makes no sense
 *     ├── JobUnsuccessful        result() of a job that ended without one; job
 *     │   ├── JobFailed
 *     │   ├── JobCancelled
 *     │   └── JobExpired
 *     ├── WaitTimeout            the job was not done in time; job
 *     ├── ResultMismatch         a result is labelled JSON, and is none
 *     └── ClientClosed           close() was called, during the call or before
 *
 * The client has repeated a call for as long as that makes sense before it raises `Unavailable` or
 * `ResourceExhausted`: catch them to tell a person, not to try once more. Repeating any call is
 * safe; for a submit, with the same request id.
 */

import type { Failure, Job } from "./job.js";

/** Root of everything that the client raises on purpose. */
export class PenstockError extends Error {
  override get name(): string {
    return this.constructor.name;
  }
}

/** One rule that a request breaks. */
export interface Violation {
  /** Path of the field, such as job.options.delay. */
  readonly field: string;
  /** What is wrong with it. */
  readonly description: string;
}

/** What came back instead of an answer: a gRPC status and its google.rpc details. */
export interface Status {
  /** Name of the gRPC status code, such as NOT_FOUND. */
  readonly code: string;
  /** For developers. */
  readonly message: string;
  /** Stable name of the error in upper case (ErrorInfo); "" where there is none. */
  readonly reason?: string;
  /** Facts that belong to the reason (ErrorInfo). */
  readonly metadata?: Readonly<Record<string, string>>;
  /** What is wrong with the request (BadRequest). */
  readonly violations?: readonly Violation[];
  /** When another try is worth while, in milliseconds (RetryInfo). */
  readonly retryAfterMs?: number | undefined;
  /** What it is about (ResourceInfo). */
  readonly resource?: { readonly type: string; readonly name: string } | undefined;
}

/** A call ended with a status other than OK. */
export class StatusError extends PenstockError {
  /** All that is known about it. */
  readonly status: Status;

  constructor(status: Status, options?: ErrorOptions) {
    super(textOf(status), options);
    this.status = status;
  }

  /** Name of the gRPC status code. */
  get code(): string {
    return this.status.code;
  }

  /** Stable name of the error, for programs; "" where the gateway gave none. */
  get reason(): string {
    return this.status.reason ?? "";
  }

  /** Facts that belong to the reason, for programs. */
  get metadata(): Readonly<Record<string, string>> {
    return this.status.metadata ?? {};
  }

  /** All rules that the request breaks; empty for other errors. */
  get violations(): readonly Violation[] {
    return this.status.violations ?? [];
  }

  /** When another try is worth while, in milliseconds; undefined is unknown. */
  get retryAfterMs(): number | undefined {
    return this.status.retryAfterMs;
  }
}

/** The request breaks rules; nothing was stored. Found here or by the gateway. */
export class InvalidRequest extends StatusError {
  /** The refusal of a request that the wire cannot express, or that contradicts itself. */
  static because(...violations: readonly Violation[]): InvalidRequest {
    return new InvalidRequest({ code: "INVALID_ARGUMENT", message: "", violations });
  }
}

/** A watch was to begin after a sequence that the job has not reached; 0 is before the first. */
export class CursorOutOfRange extends StatusError {}

/** There is no such job or queue; `status.resource` says which of them. */
export class NotFound extends StatusError {}

/** A request id or an idempotency key was used before, for another type or payload. */
export class AlreadyExists extends StatusError {}

/**
 * The request is sound, but not in the present state of things: see reason and metadata.
 * UNKNOWN_JOB_TYPE: start a worker that handles it, or submit with `allowUnregistered`.
 */
export class FailedPrecondition extends StatusError {}

/** The caller may not do this. */
export class PermissionDenied extends StatusError {}

/** The gateway does not know who calls. */
export class Unauthenticated extends StatusError {}

/** A limit is reached: of the gateway, of storage, or of the size of a message. */
export class ResourceExhausted extends StatusError {}

/** No gateway can be reached, or none that can serve now, although it was tried repeatedly. */
export class Unavailable extends StatusError {}

/** No answer came in time. Whether the call took effect is not known; repeating it is safe. */
export class DeadlineExceeded extends StatusError {}

/** The gateway does not know the method. */
export class Unimplemented extends StatusError {}

/** A fault of the gateway, whose log says more, or an answer that makes no sense here. */
export class Internal extends StatusError {}

/** The result of a job was asked for that ended without one. */
export class JobUnsuccessful extends PenstockError {
  /** As it ended. */
  readonly job: Job;

  constructor(job: Job, because: string) {
    super(`job ${job.jobId} (${job.type}) is ${job.state}${because}`);
    this.job = job;
  }
}

/** The job is a dead letter. Run it anew with retry(), once its cause is mended. */
export class JobFailed extends JobUnsuccessful {
  constructor(job: Job) {
    super(job, job.failure ? told(job.failure, job.attempt) : "");
  }
}

/** Somebody, or its own handler, cancelled the job. */
export class JobCancelled extends JobUnsuccessful {
  constructor(job: Job) {
    super(job, job.cancelReason && `: ${job.cancelReason}`);
  }
}

/** The job met its deadline first. */
export class JobExpired extends JobUnsuccessful {
  constructor(job: Job) {
    super(job, job.deadline ? `: its deadline was ${job.deadline.toISOString()}` : "");
  }
}

/** The job was not done in the time that was given. The job itself goes on. */
export class WaitTimeout extends PenstockError {
  readonly jobId: string;
  /** The time that was given, in milliseconds. */
  readonly timeoutMs: number;
  /** As last seen; undefined if the gateway could not be asked. */
  readonly job: Job | undefined;

  constructor(jobId: string, timeoutMs: number, job: Job | undefined, options?: ErrorOptions) {
    const seen = job ? `it is ${job.state}` : "the gateway could not be asked";
    super(`job ${jobId} is not done after ${timeoutMs} ms: ${seen}`, options);
    this.jobId = jobId;
    this.timeoutMs = timeoutMs;
    this.job = job;
  }
}

/** A result is labelled JSON, and is none. */
export class ResultMismatch extends PenstockError {}

/** close() was called, during the call or before. */
export class ClientClosed extends PenstockError {
  constructor() {
    super("the client is closed");
  }
}

function told({ reason, type, message }: Failure, attempt: number): string {
  const because = reason === undefined ? "" : ` (${reason})`;
  return `${because}, attempt ${attempt}: ${type}: ${message}`;
}

function textOf(status: Status): string {
  if (!status.violations?.length) return status.message || status.code;
  const rules = status.violations.map(({ field, description }) => `${field}: ${description}`);
  return `the request was refused: ${rules.join("; ")}`;
}
