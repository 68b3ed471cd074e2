/** From the client's own types to the generated ones. */

import { randomUUID } from "node:crypto";

import type { Duration } from "../gen/google/protobuf/duration.js";
import * as wire from "../gen/penstock/v1/job.js";
import type { CachePolicy } from "./cache.js";
import { encode } from "./content.js";
import { InvalidRequest } from "./errors.js";
import type { JobState, Priority } from "./job.js";
import type { NameOf } from "./names.js";
import { type Backoff, check, type JobOptions } from "./new-job.js";

/**
 * The message of a job to submit, under a random request id if it has none.
 *
 * @throws InvalidRequest: the wire cannot express it.
 */
export function specOf(type: string, payload: unknown, options: JobOptions): wire.JobSpec {
  check(options);
  return wire.JobSpec.fromPartial({
    type,
    queue: options.queue ?? "",
    payload: encode(payload, options.contentType),
    options: optionsOf(options),
    requestId: options.requestId ?? newRequestId(),
  });
}

/** A name for one call, random, so that the call can be repeated. */
export function newRequestId(): string {
  return randomUUID();
}

/** A length of time, to the microsecond. */
export function durationOf(milliseconds: number): Duration {
  const microseconds = Math.round(milliseconds * 1_000);
  const seconds = Math.trunc(microseconds / 1_000_000);
  return { seconds, nanos: (microseconds - seconds * 1_000_000) * 1_000 };
}

/**
 * The number of a name; 0 for none. Callers without a compiler may name what there is not.
 *
 * @param field - that a violation names.
 */
export function numberOf<E extends Readonly<Record<string, number>>>(
  names: E,
  name: NameOf<E> | undefined,
  field: string,
): E[keyof E] {
  const number = name === undefined ? 0 : names[name];
  if (number === undefined || name === "UNSPECIFIED") {
    const known = Object.keys(names).filter((each) => each !== "UNSPECIFIED");
    const description = `${String(name)} is none of ${known.join(", ")}`;
    throw InvalidRequest.because({ field, description });
  }
  return number as E[keyof E];
}

/** The number of a priority; see numberOf(). */
export function priorityOf(name: Priority | undefined, field: string): wire.Priority {
  return numberOf(wire.Priority, name, field);
}

/** The number of a state of jobs; see numberOf(). */
export function stateNumberOf(name: JobState): wire.JobState {
  return numberOf(wire.JobState, name, "states");
}

function optionsOf(options: JobOptions): wire.JobOptions {
  return wire.JobOptions.fromPartial({
    priority: priorityOf(options.priority, "job.options.priority"),
    start: startOf(options),
    expiry: expiryOf(options),
    maxAttempts: options.maxAttempts ?? 0,
    backoff: options.backoff && backoffOf(options.backoff),
    timeout: optional(options.timeoutMs),
    idempotencyKey: options.idempotencyKey ?? "",
    retention: optional(options.retentionMs),
    metadata: options.metadata ?? {},
    allowUnregistered: options.allowUnregistered ?? false,
    cache: options.cache && cacheOf(options.cache),
  });
}

function startOf({ delayMs, runAt }: JobOptions): wire.JobOptions["start"] {
  if (delayMs !== undefined) return { $case: "delay", value: durationOf(delayMs) };
  return runAt && { $case: "runAt", value: runAt };
}

function expiryOf({ expiresInMs, deadline }: JobOptions): wire.JobOptions["expiry"] {
  if (expiresInMs !== undefined) return { $case: "expiresIn", value: durationOf(expiresInMs) };
  return deadline && { $case: "deadline", value: deadline };
}

function backoffOf(backoff: Backoff): wire.Backoff {
  return {
    initial: optional(backoff.initialMs),
    max: optional(backoff.maxMs),
    multiplier: backoff.multiplier ?? 0,
    jitter: backoff.jitter,
  };
}

function cacheOf(policy: CachePolicy): wire.CachePolicy {
  return {
    ttl: durationOf(policy.ttlMs),
    key: policy.key ?? "",
    tags: [...(policy.tags ?? [])],
    skipCache: policy.skipCache ?? false,
    doNotCache: policy.doNotCache ?? false,
  };
}

function optional(milliseconds: number | undefined): Duration | undefined {
  return milliseconds === undefined ? undefined : durationOf(milliseconds);
}
