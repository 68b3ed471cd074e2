/** Between the client's own definition of a schedule and the generated one. */

import type { Duration } from "../gen/google/protobuf/duration.js";
import * as wire from "../gen/penstock/v1/job.js";
import {
  CatchUp_Policy,
  OverlapPolicy,
  ScheduleSpec,
  Timing as WireTiming,
} from "../gen/penstock/v1/schedule_service.js";
import { shown } from "./content.js";
import { InvalidRequest, type Violation } from "./errors.js";
import { millisecondsOf, present } from "./from-wire.js";
import type { NewJob } from "./job-types.js";
import { nameOf } from "./names.js";
import type { Backoff } from "./new-job.js";
import type { Schedule, Timing } from "./schedules.js";
import { durationOf, numberOf, specOf } from "./to-wire.js";

/**
 * The message of a definition.
 *
 * @throws InvalidRequest: the wire cannot express it.
 */
export function specOfSchedule(schedule: Schedule): ScheduleSpec {
  const { catchUp, catchUpLimit, job, note, overlap, toleranceMs } = schedule;
  const { type, payload, ...options } = job;
  check({ toleranceMs }, "spec.catch_up");
  return ScheduleSpec.fromPartial({
    timing: timingOf(schedule),
    // Without a request id, unless the gateway is to refuse it.
    job: { ...specOf(type, payload, options), requestId: options.requestId ?? "" },
    overlap: numberOf(OverlapPolicy, overlap, "spec.overlap"),
    catchUp: {
      policy: numberOf(CatchUp_Policy, catchUp, "spec.catch_up.policy"),
      limit: catchUpLimit ?? 0,
      tolerance: optional(toleranceMs),
    },
    note: note ?? "",
  });
}

/** The message of a timing. Throws InvalidRequest, as above. */
export function timingOf(timing: Timing): WireTiming {
  const { cron, endTime, everyMs, jitterMs, startTime, timeZone } = timing;
  check({ everyMs, jitterMs, startTime, endTime }, "spec.timing");
  if ((cron === undefined) === (everyMs === undefined)) {
    const description = "give either cron or everyMs";
    throw InvalidRequest.because({ field: "spec.timing", description });
  }
  return WireTiming.fromPartial({
    recurrence:
      cron === undefined
        ? { $case: "interval", value: durationOf(everyMs ?? 0) }
        : { $case: "cron", value: { expression: cron, timeZone: timeZone ?? "" } },
    startTime,
    endTime,
    jitter: optional(jitterMs),
  });
}

/** A definition as the gateway told it. */
export function definitionOf(spec: ScheduleSpec): Schedule {
  const { recurrence, startTime, endTime, jitter } = present(spec.timing);
  const { limit = 0, policy = 0, tolerance } = spec.catchUp ?? {};
  const cron = recurrence?.$case === "cron" ? recurrence.value : undefined;
  const interval = recurrence?.$case === "interval" ? recurrence.value : undefined;
  return {
    job: jobOf(present(spec.job)),
    cron: cron?.expression,
    timeZone: cron?.timeZone === "" ? "UTC" : cron?.timeZone,
    everyMs: span(interval),
    startTime,
    endTime,
    jitterMs: span(jitter),
    overlap: nameOf(OverlapPolicy, spec.overlap) ?? "SKIP",
    catchUp: nameOf(CatchUp_Policy, policy) ?? "LAST",
    catchUpLimit: limit || undefined,
    toleranceMs: span(tolerance),
    note: spec.note,
  };
}

function jobOf({ type, queue, payload, options }: wire.JobSpec): NewJob {
  const {
    allowUnregistered,
    backoff,
    expiry,
    maxAttempts,
    metadata,
    priority,
    retention,
    timeout,
  } = options ?? wire.JobOptions.fromPartial({});
  return {
    type,
    queue,
    payload: payload?.data.length ? shown(payload) : undefined,
    priority: nameOf(wire.Priority, priority),
    expiresInMs: expiry?.$case === "expiresIn" ? millisecondsOf(expiry.value) : undefined,
    maxAttempts: maxAttempts || undefined,
    backoff: backoff && backoffOf(backoff),
    timeoutMs: span(timeout),
    retentionMs: span(retention),
    metadata,
    allowUnregistered,
  };
}

function backoffOf({ initial, max, multiplier, jitter }: wire.Backoff): Backoff {
  return {
    initialMs: span(initial),
    maxMs: span(max),
    multiplier: multiplier || undefined,
    jitter,
  };
}

/** Finds what is neither a length of time nor a time. */
function check(values: Readonly<Record<string, number | Date | undefined>>, prefix: string): void {
  const broken: Violation[] = [];
  for (const [name, value] of Object.entries(values)) {
    if (typeof value === "number" ? !Number.isFinite(value) : Number.isNaN(value?.getTime())) {
      broken.push({ field: `${prefix}.${name}`, description: `${String(value)} is none` });
    }
  }
  if (broken.length > 0) throw InvalidRequest.because(...broken);
}

function optional(milliseconds: number | undefined): Duration | undefined {
  return milliseconds === undefined ? undefined : durationOf(milliseconds);
}

function span(duration: Duration | undefined): number | undefined {
  return duration && millisecondsOf(duration);
}
