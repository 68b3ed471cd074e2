/** Waiting for a job's end, across whatever breaks on the way. */

import { JobServiceService } from "../gen/penstock/v1/job_service.js";
import { decode } from "./content.js";
import {
  DeadlineExceeded,
  JobCancelled,
  JobExpired,
  JobFailed,
  StatusError,
  WaitTimeout,
} from "./errors.js";
import { jobOf } from "./from-wire.js";
import type { Job } from "./job.js";
import { isPassing, Outage, pause, type Rpc } from "./rpc.js";
import { durationOf } from "./to-wire.js";

/** How long one WaitJob waits: short, so that a gateway that hangs is noticed. */
const WAIT_MS = 30_000;
/** How much later than that its answer may come. */
const WAIT_GRACE_MS = 5_000;

/** The options of a wait. */
export interface WaitOptions {
  /** How long to wait, in milliseconds; for ever if not given. */
  readonly timeoutMs?: number | undefined;
  /** Aborted, it ends the wait, which rejects with its reason. The job goes on. */
  readonly signal?: AbortSignal | undefined;
}

/** See PenstockClient.wait(). */
export async function wait<Result>(
  rpc: Rpc,
  jobId: string,
  { timeoutMs = Infinity, signal }: WaitOptions,
): Promise<Job<Result>> {
  const giveUp = performance.now() + timeoutMs;
  const outage = new Outage(rpc.patience.reconnectForMs);
  let job: Job<Result> | undefined;
  for (;;) {
    const waitMs = Math.max(Math.min(giveUp - performance.now(), WAIT_MS), 1);
    const request = { jobId, timeout: durationOf(waitMs) };
    let trouble: StatusError | undefined;
    let pauseMs = 0;
    try {
      const answer = await rpc.connection.unary(
        JobServiceService.waitJob,
        request,
        waitMs + WAIT_GRACE_MS,
        signal,
      );
      job = jobOf<Result>(answer.job);
      outage.over();
      if (answer.done) return job;
    } catch (error) {
      if (!(isPassing(error) || error instanceof DeadlineExceeded)) throw error;
      trouble = error;
      pauseMs = outage.pauseMs(error);
    }
    if (performance.now() + pauseMs >= giveUp) {
      throw new WaitTimeout(jobId, timeoutMs, job, { cause: trouble });
    }
    await pause(pauseMs, signal);
  }
}

/**
 * What an ended job returned: JSON decoded, other content as bytes.
 *
 * @throws JobUnsuccessful: it ended without a result.
 * @throws ResultMismatch: the result is labelled JSON, and is none.
 */
export function resultOf<Result>(job: Job<Result>): Result {
  if (job.state === "FAILED") throw new JobFailed(job);
  if (job.state === "CANCELLED") throw new JobCancelled(job);
  if (job.state === "EXPIRED") throw new JobExpired(job);
  return (job.resultContent && decode(job.resultContent)) as Result;
}
