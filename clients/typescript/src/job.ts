/** What a gateway tells about a job, as plain data. */

import type * as wire from "../gen/penstock/v1/job.js";
import type { SubmitOutcome as WireOutcome } from "../gen/penstock/v1/job_service.js";
import type { Content } from "./content.js";
import type { NameOf } from "./names.js";

/** Where a job stands. Of SUCCEEDED, FAILED, CANCELLED and EXPIRED there is no return. */
export type JobState = NameOf<typeof wire.JobState>;

/** Why a job became FAILED. */
export type FailureReason = NameOf<typeof wire.FailureReason>;

/** Why a job that waits is passed by. */
export type HoldReason = NameOf<typeof wire.HoldReason>;

/** Which jobs of a queue are served first. */
export type Priority = NameOf<typeof wire.Priority>;

/** What an acknowledged submit survives; see the contract for each level. */
export type Durability = NameOf<typeof wire.Durability>;

/** Whether a submit made a job, or met an earlier one. */
export type SubmitOutcome = NameOf<typeof WireOutcome>;

/** Receipt of a submit. */
export interface Submitted {
  /** To watch, wait for, or cancel. */
  readonly jobId: string;
  /** Of the job at that moment; undefined only for a duplicate of a job that is gone already. */
  readonly state: JobState | undefined;
  /** Whether this submit made it. */
  readonly outcome: SubmitOutcome;
  /** What the acknowledgement survives; undefined is unknown. */
  readonly durability: Durability | undefined;
  /** Under which the submit may be repeated. */
  readonly requestId: string;
  /** The result, if the cache answered and the gateway told it along: result() then asks nothing. */
  readonly resultContent: Content | undefined;
}

/** How far a running job says it is: current of total units (total 0 is unknown). */
export type Progress = Readonly<wire.Progress>;

/** What the last failed attempt left behind. */
export interface Failure {
  /** Name of the exception. */
  readonly type: string;
  /** The handler's text. */
  readonly message: string;
  /** Set once the job is FAILED. */
  readonly reason: FailureReason | undefined;
}

/** The fields of the contract that read otherwise here. */
type Reworded =
  "failure" | "holdReason" | "payload" | "priority" | "result" | "retention" | "state" | "timeout";

/**
 * One unit of work as it stood when the gateway answered.
 *
 * The fields are those of the contract's Job, so that new ones are here as soon as the contract has
 * them. What was not asked for, or is not there yet, is undefined.
 */
export interface Job<Result = unknown> extends Readonly<Omit<wire.Job, Reworded>> {
  readonly state: JobState;
  /** Whether it has ended, in whatever way. */
  readonly done: boolean;
  readonly priority: Priority;
  /** Why it is passed by, though it is QUEUED; undefined if it is not. */
  readonly holdReason: HoldReason | undefined;
  /** Of the last failed attempt, kept when a later one succeeds. */
  readonly failure: Failure | undefined;
  /** What its handler returned: JSON decoded, other content as bytes. Its type is not checked. */
  readonly result: Result | undefined;
  /** The result as it came. */
  readonly resultContent: Content | undefined;
  /** What it was submitted with, if that was asked for: JSON decoded, other content as bytes. */
  readonly payload: unknown;
  /** The payload as it came. */
  readonly payloadContent: Content | undefined;
  /** Of one attempt, in milliseconds. */
  readonly timeoutMs: number | undefined;
  /** How long it is kept after its end, in milliseconds. */
  readonly retentionMs: number | undefined;
}

const TERMINAL: ReadonlySet<JobState> = new Set(["SUCCEEDED", "FAILED", "CANCELLED", "EXPIRED"]);

/** Whether a job in this state never changes again. */
export function isTerminal(state: JobState): boolean {
  return TERMINAL.has(state);
}
