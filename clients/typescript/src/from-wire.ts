/** From the generated types to the client's own. */

import type { Duration } from "../gen/google/protobuf/duration.js";
import * as wire from "../gen/penstock/v1/job.js";
import {
  type StreamProgressResponse,
  type SubmittedJob,
  SubmitOutcome,
} from "../gen/penstock/v1/job_service.js";
import { shown } from "./content.js";
import { Internal } from "./errors.js";
import type { JobEvent, SnapshotEvent } from "./events.js";
import { type Failure, isTerminal, type Job, type Submitted } from "./job.js";
import { givenNameOf, nameOf } from "./names.js";

/** The receipt of a submit that was made under that request id. */
export function submittedOf(message: SubmittedJob | undefined, requestId: string): Submitted {
  const { jobId, state, outcome, durability, result } = present(message);
  return {
    jobId,
    state: nameOf(wire.JobState, state),
    outcome: givenNameOf(SubmitOutcome, outcome),
    durability: nameOf(wire.Durability, durability),
    requestId,
    resultContent: result,
  };
}

/** A job as the gateway told it. */
export function jobOf<Result>(message: wire.Job | undefined): Job<Result> {
  const { failure, holdReason, payload, priority, result, retention, state, timeout, ...rest } =
    present(message);
  const name = givenNameOf(wire.JobState, state);
  return {
    ...rest,
    state: name,
    done: isTerminal(name),
    priority: nameOf(wire.Priority, priority) ?? "DEFAULT",
    holdReason: nameOf(wire.HoldReason, holdReason),
    failure: failure && failureOf(failure),
    // What the job's type promises: the schemas of the workers are what holds it.
    result: shown(result) as Result | undefined,
    resultContent: result,
    payload: shown(payload),
    payloadContent: payload,
    timeoutMs: timeout && millisecondsOf(timeout),
    retentionMs: retention && millisecondsOf(retention),
  };
}

/** The first message of a stream. Its range is empty: ranges tile with it as without it. */
export function snapshotOf<Result>(message: wire.Job, cursor: number): SnapshotEvent<Result> {
  const job = jobOf<Result>(message);
  const range = { firstSequence: cursor + 1, lastSequence: cursor, time: undefined };
  return { kind: "snapshot", jobId: job.jobId, ...range, job };
}

/** What a message tells that is neither snapshot nor end, as of the first sequence given. */
export function eventOf<Result>(
  jobId: string,
  firstSequence: number,
  message: StreamProgressResponse,
): JobEvent<Result> {
  const { event, lastSequence, time } = message;
  const covering = { jobId, firstSequence, lastSequence, time };
  switch (event?.$case) {
    case "stateChange": {
      const { job, state, ...rest } = event.value;
      const name = givenNameOf(wire.JobState, state);
      const told = job && jobOf<Result>(job);
      return {
        kind: "state",
        ...covering,
        ...rest,
        state: name,
        terminal: isTerminal(name),
        job: told,
      };
    }
    case "progress":
      return { kind: "progress", ...covering, progress: event.value };
    case "chunk": {
      const { data, attempt } = event.value;
      return { kind: "chunk", ...covering, data, text: new TextDecoder().decode(data), attempt };
    }
    case "log":
      return { kind: "log", ...covering, ...event.value };
    case "gap":
      return { kind: "gap", ...covering, lost: lastSequence - firstSequence + 1 };
    default:
      return { kind: "unknown", ...covering };
  }
}

/** A length of time, in milliseconds. */
export function millisecondsOf({ seconds, nanos }: Duration): number {
  return seconds * 1_000 + nanos / 1_000_000;
}

/** A message that every answer of its kind has. */
export function present<Message>(message: Message | undefined): Message {
  if (message === undefined) {
    throw new Internal({ code: "INTERNAL", message: "the gateway's answer holds nothing" });
  }
  return message;
}

function failureOf({ type, message, reason }: wire.Failure): Failure {
  return { type, message, reason: nameOf(wire.FailureReason, reason) };
}
