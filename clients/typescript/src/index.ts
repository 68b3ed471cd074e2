/**
 * The TypeScript client of Penstock: submit typed jobs, watch them live, get their results.
 *
 * It knows gRPC alone. Start at `PenstockClient`.
 */

export type { CachePolicy, CacheTarget } from "./cache.js";
export type { Tls, TlsOptions } from "./channel.js";
export {
  type ClientOptions,
  type ListOptions,
  type Page,
  PenstockClient,
  type RetryOptions,
  type StatusOptions,
} from "./client.js";
export type { Content } from "./content.js";
export {
  AlreadyExists,
  ClientClosed,
  CursorOutOfRange,
  DeadlineExceeded,
  FailedPrecondition,
  Internal,
  InvalidRequest,
  JobCancelled,
  JobExpired,
  JobFailed,
  JobUnsuccessful,
  NotFound,
  PenstockError,
  PermissionDenied,
  ResourceExhausted,
  ResultMismatch,
  type Status,
  StatusError,
  Unauthenticated,
  Unavailable,
  Unimplemented,
  type Violation,
  WaitTimeout,
} from "./errors.js";
export type {
  ChunkEvent,
  GapEvent,
  JobEvent,
  LogEvent,
  ProgressEvent,
  SnapshotEvent,
  StateEvent,
  UnknownEvent,
} from "./events.js";
export { JobHandle } from "./handle.js";
export type {
  Durability,
  Failure,
  FailureReason,
  HoldReason,
  Job,
  JobState,
  Priority,
  Progress,
  Submitted,
  SubmitOutcome,
} from "./job.js";
export type { AnyJobs, JobType, JobTypeMap, NewJob, SubmitOptions } from "./job-types.js";
export type { Backoff, JobOptions } from "./new-job.js";
export type {
  CleanOptions,
  ConcurrencyLimit,
  Queue,
  Queues,
  QueueStats,
  RedriveOptions,
  StepOptions,
  WorkerInfo,
} from "./queues.js";
export type { CallOptions } from "./rpc.js";
export type {
  CatchUp,
  CreateOptions,
  ListSchedulesOptions,
  Overlap,
  Schedule,
  ScheduleInfo,
  Schedules,
  TimesOptions,
  Timing,
  TriggerOptions,
  UpdateOptions,
} from "./schedules.js";
export type { AnyTopics, Published, PublishedJob, PublishOptions } from "./topics.js";
export type { WaitOptions } from "./wait.js";
export { JobWatch, type WatchOptions } from "./watch.js";
