/**
 * What a watch yields: the events of a job, in order, each with the sequence numbers it covers.
 *
 * The ranges `firstSequence..lastSequence` tile: each event begins right after the one before. A
 * range of more than one number means that reports of progress were merged (the newest is shown),
 * or a gap. A snapshot covers nothing.
 */

import type { Job, JobState, Progress } from "./job.js";

interface Covering {
  readonly jobId: string;
  /** First number that it covers. */
  readonly firstSequence: number;
  /** Last number that it covers: the cursor to go on from. */
  readonly lastSequence: number;
  /** When the (newest) event was stored; undefined for a snapshot. */
  readonly time: Date | undefined;
}

/** The job as it stood when the watch began. Always the first, and the only one of its kind. */
export interface SnapshotEvent<Result = unknown> extends Covering {
  readonly kind: "snapshot";
  readonly job: Job<Result>;
}

/** The job entered a state. */
export interface StateEvent<Result = unknown> extends Covering {
  readonly kind: "state";
  /** That it entered. */
  readonly state: JobState;
  /** Whether this is the last event of the job. */
  readonly terminal: boolean;
  /** That it belongs to; 0 before the first. */
  readonly attempt: number;
  /** For people: the error of a failed attempt, why it was cancelled, and so on. */
  readonly reason: string;
  /** With its result; only with a terminal state. */
  readonly job: Job<Result> | undefined;
  /** When it is due; only with SCHEDULED. */
  readonly runAt: Date | undefined;
}

/** The handler reported how far it is. */
export interface ProgressEvent extends Covering {
  readonly kind: "progress";
  readonly progress: Progress;
}

/** The handler sent a part of its output. A later attempt begins its output anew. */
export interface ChunkEvent extends Covering {
  readonly kind: "chunk";
  readonly data: Uint8Array;
  /** The data as UTF-8; what is none is replaced. */
  readonly text: string;
  readonly attempt: number;
}

/** The handler wrote a log line. */
export interface LogEvent extends Covering {
  readonly kind: "log";
  readonly level: string;
  readonly message: string;
  readonly attempt: number;
}

/** These events are no longer kept. */
export interface GapEvent extends Covering {
  readonly kind: "gap";
  readonly lost: number;
}

/** An event of a kind that is newer than this client. */
export interface UnknownEvent extends Covering {
  readonly kind: "unknown";
}

/** Something that happened to a job: `kind` says what. */
export type JobEvent<Result = unknown> =
  | SnapshotEvent<Result>
  | StateEvent<Result>
  | ProgressEvent
  | ChunkEvent
  | LogEvent
  | GapEvent
  | UnknownEvent;
