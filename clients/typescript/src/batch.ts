/** A long list of submits: cut into calls, each job's outcome put back in its place. */

import { JobSpec } from "../gen/penstock/v1/job.js";
import { JobServiceService } from "../gen/penstock/v1/job_service.js";
import { DeadlineExceeded, Internal, InvalidRequest, StatusError } from "./errors.js";
import { submittedOf } from "./from-wire.js";
import type { Submitted } from "./job.js";
import type { NewJob } from "./job-types.js";
import { type CallOptions, isPassing, Outage, pause, type Rpc } from "./rpc.js";
import { itemErrorOf } from "./status.js";
import { specOf } from "./to-wire.js";

/** What became of one job: its receipt, or why it was not stored. */
type Outcome = Submitted | StatusError;

/** Most jobs that a gateway takes in one call. */
const MAX_JOBS = 1_000;
/** Most bytes of jobs in a call; gateways take messages of 4 MiB. */
const MAX_BYTES = 3_500_000;

/**
 * Stores jobs, call by call. Yields the outcomes of each call, in the order of the jobs.
 *
 * Once jobs cannot be stored within the time of a call, although nothing is wrong with them, those
 * that are left share that error and are not tried.
 */
export async function* submitAll(
  rpc: Rpc,
  jobs: Iterable<NewJob>,
  options: CallOptions,
): AsyncGenerator<Outcome[]> {
  let trouble: StatusError | undefined;
  for (const chunk of chunksOf(jobs)) {
    const specs = chunk.filter((each): each is JobSpec => !(each instanceof StatusError));
    const outcomes =
      trouble === undefined ? await submit(rpc, specs, options) : all(specs, trouble);
    trouble ??= [...outcomes.values()].find(isTrouble);
    yield chunk.map((each) => (each instanceof StatusError ? each : given(outcomes.get(each))));
  }
}

function all(specs: readonly JobSpec[], outcome: Outcome): Map<JobSpec, Outcome> {
  return new Map(specs.map((spec) => [spec, outcome]));
}

/**
 * The messages of jobs, as many at a time as a call may have; errors for what is no message.
 *
 * A job that is larger than MAX_BYTES has a call of its own, for the gateway to judge.
 */
function* chunksOf(jobs: Iterable<NewJob>): Generator<(JobSpec | StatusError)[]> {
  let chunk: (JobSpec | StatusError)[] = [];
  let size = 0;
  for (const job of jobs) {
    const entry = entryOf(job);
    const added = entry instanceof StatusError ? 0 : JobSpec.encode(entry).finish().length;
    if (chunk.length > 0 && (chunk.length >= MAX_JOBS || size + added > MAX_BYTES)) {
      yield chunk;
      chunk = [];
      size = 0;
    }
    chunk.push(entry);
    size += added;
  }
  if (chunk.length > 0) yield chunk;
}

function entryOf({ type, payload, ...options }: NewJob): JobSpec | StatusError {
  try {
    return specOf(type, payload, options);
  } catch (error) {
    if (error instanceof InvalidRequest) return error;
    throw error;
  }
}

/** One call, repeated for those of its jobs that a passing trouble kept out. */
async function submit(
  rpc: Rpc,
  specs: readonly JobSpec[],
  { rpcTimeoutMs = rpc.patience.timeoutMs, signal }: CallOptions,
): Promise<Map<JobSpec, Outcome>> {
  const outcomes = new Map<JobSpec, Outcome>();
  const outage = new Outage(rpcTimeoutMs);
  const giveUp = performance.now() + rpcTimeoutMs;
  let pending = specs;
  while (pending.length > 0) {
    try {
      const leftMs = Math.max(giveUp - performance.now(), 1);
      await attempt(rpc, pending, outcomes, { rpcTimeoutMs: leftMs, signal });
      pending = pending.filter((spec) => isTrouble(outcomes.get(spec)));
      const trouble = pending[0] && outcomes.get(pending[0]);
      if (isTrouble(trouble)) await pause(outage.pauseMs(trouble), signal);
    } catch (error) {
      if (!(error instanceof StatusError)) throw error;
      for (const spec of pending) outcomes.set(spec, error);
      break;
    }
  }
  return outcomes;
}

async function attempt(
  rpc: Rpc,
  specs: readonly JobSpec[],
  outcomes: Map<JobSpec, Outcome>,
  options: CallOptions,
): Promise<void> {
  const request = { jobs: [...specs] };
  const { results } = await rpc.call(JobServiceService.submitJobs, request, options);
  if (results.length !== specs.length) {
    const message = `${specs.length} jobs were sent, and ${results.length} results came back`;
    throw new Internal({ code: "INTERNAL", message });
  }
  for (const [index, spec] of specs.entries()) {
    const outcome = results[index]?.outcome;
    outcomes.set(
      spec,
      outcome?.$case === "error"
        ? itemErrorOf(outcome.value)
        : submittedOf(outcome?.value, spec.requestId),
    );
  }
}

function given(outcome: Outcome | undefined): Outcome {
  if (outcome === undefined) throw new Error("a job of the batch has no outcome");
  return outcome;
}

/** Whether it was not the job's own fault, so that another try may store it. */
function isTrouble(outcome: Outcome | undefined): outcome is StatusError {
  return outcome instanceof DeadlineExceeded || isPassing(outcome);
}
