/** The options of a submit, which all have defaults. */

import type { CachePolicy } from "./cache.js";
import { InvalidRequest, type Violation } from "./errors.js";
import type { Priority } from "./job.js";

/** Pause before retry n: `min(initial * multiplier ** (n - 1), max)`, spread by +- jitter. */
export interface Backoff {
  /** Pause before the first retry; 1 s if not given. */
  readonly initialMs?: number | undefined;
  /** Bound of every pause; 5 min if not given. */
  readonly maxMs?: number | undefined;
  /** At least 1; 2 if not given. */
  readonly multiplier?: number | undefined;
  /** Fraction from 0 to 1; 0.2 if not given. */
  readonly jitter?: number | undefined;
}

/** The choices of a submit. */
export interface JobOptions {
  /** Where it waits; "default" if not given. */
  readonly queue?: string | undefined;
  /** HIGH, DEFAULT or LOW. */
  readonly priority?: Priority | undefined;
  /** How long it waits before it may run; up to 366 days. Not together with runAt. */
  readonly delayMs?: number | undefined;
  /** When it may run, by the gateway's clock; a past time is at once. */
  readonly runAt?: Date | undefined;
  /** Its time to an outcome, all told; past it, it is EXPIRED. Not together with deadline. */
  readonly expiresInMs?: number | undefined;
  /** As expiresInMs, as a time. */
  readonly deadline?: Date | undefined;
  /** Failed attempts after which it is a dead letter, 1 to 100; 3 if not given. */
  readonly maxAttempts?: number | undefined;
  /** Pauses between attempts. */
  readonly backoff?: Backoff | undefined;
  /** Of one attempt, up to 24 h; if not given, the job type's own, else none. */
  readonly timeoutMs?: number | undefined;
  /**
   * Names the work: while the key lives, an equal submit is answered with the first job. Up to 256
   * characters.
   */
  readonly idempotencyKey?: string | undefined;
  /** Whether an equal submit's result will do. Not with a start, nor an idempotencyKey. */
  readonly cache?: CachePolicy | undefined;
  /** How long it is kept after its end, 1 s to 366 days; 24 h if not given. */
  readonly retentionMs?: number | undefined;
  /** Travels with it, to its handler, too. Up to 32 pairs and 4 KiB. */
  readonly metadata?: Readonly<Record<string, string>> | undefined;
  /** Accept a type that no worker has registered yet. */
  readonly allowUnregistered?: boolean | undefined;
  /** Of a payload of bytes; application/octet-stream if not given. */
  readonly contentType?: string | undefined;
  /** Names the call: a submit repeated under it is the same job. A random one if not given. */
  readonly requestId?: string | undefined;
}

/**
 * Finds what the wire cannot express; all other rules are the gateway's.
 *
 * @param prefix - of the fields that violations name.
 * @throws InvalidRequest: with every violation.
 */
export function check(options: JobOptions, prefix = "job.options."): void {
  const { backoff = {} } = options;
  const broken: Violation[] = [];
  const refuse = (field: string, description: string): void => {
    broken.push({ field: `${prefix}${field}`, description });
  };
  const spans = {
    delay: options.delayMs,
    expires_in: options.expiresInMs,
    timeout: options.timeoutMs,
    retention: options.retentionMs,
    "cache.ttl": options.cache?.ttlMs,
    "backoff.initial": backoff.initialMs,
    "backoff.max": backoff.maxMs,
  };
  for (const [field, span] of Object.entries(spans)) {
    if (span !== undefined && !Number.isFinite(span)) {
      refuse(field, `${span} is no length of time`);
    }
  }
  for (const [field, time] of Object.entries({
    run_at: options.runAt,
    deadline: options.deadline,
  })) {
    if (time !== undefined && Number.isNaN(time.getTime())) refuse(field, "it is no valid Date");
  }
  if (options.maxAttempts !== undefined && !Number.isInteger(options.maxAttempts)) {
    refuse("max_attempts", `${options.maxAttempts} is no whole number`);
  }
  if (options.delayMs !== undefined && options.runAt !== undefined) {
    refuse("run_at", "delayMs is given, too; one of them will do");
  }
  if (options.expiresInMs !== undefined && options.deadline !== undefined) {
    refuse("deadline", "expiresInMs is given, too; one of them will do");
  }
  if (broken.length > 0) throw InvalidRequest.because(...broken);
}
