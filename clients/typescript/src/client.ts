/**
 * The client: all that a gateway can be asked. It is long for its comments; what takes more than one
 * call is in batch.ts, wait.ts and watch.ts, what is about queues and schedules in queues.ts and
 * schedules.ts.
 */

import { HealthCheckResponse_ServingStatus, HealthService } from "../gen/grpc_health/v1/health.js";
import { JobServiceService } from "../gen/penstock/v1/job_service.js";
import { submitAll } from "./batch.js";
import { type CacheTarget, invalidate } from "./cache.js";
import type { Tls } from "./channel.js";
import { Connection } from "./connection.js";
import { StatusError } from "./errors.js";
import { jobOf, submittedOf } from "./from-wire.js";
import { JobHandle } from "./handle.js";
import type { Job, JobState, Submitted } from "./job.js";
import type {
  AnyJobs,
  JobTypeMap,
  NamesOf,
  NewJob,
  SubmitArguments,
  SubmitOptions,
} from "./job-types.js";
import { Queues } from "./queues.js";
import { type CallOptions, Rpc, settledBy } from "./rpc.js";
import { Schedules } from "./schedules.js";
import { newRequestId, specOf, stateNumberOf } from "./to-wire.js";
import {
  type AnyTopics,
  publish,
  type PublishArguments,
  type Published,
  type PublishOptions,
} from "./topics.js";
import { resultOf, wait, type WaitOptions } from "./wait.js";
import { JobWatch, type WatchOptions } from "./watch.js";

/** The settings of a client. */
export interface ClientOptions {
  /** True for TLS, or roots and certificates of one's own. Plain text if not given. */
  readonly tls?: Tls | undefined;
  /** Of every call that is not given its own, retries included; 10 s if not given. */
  readonly timeoutMs?: number | undefined;
  /** How long waits and watches outlive a gateway that is away; 5 min if not given. */
  readonly reconnectForMs?: number | undefined;
  /**
   * How long after its start a call is still repeated; to the end of its time if not given. Shorter
   * than timeoutMs, it leaves a slow answer time to arrive.
   */
  readonly retryForMs?: number | undefined;
}

/** The options of status(). */
export interface StatusOptions extends CallOptions {
  /** Ask for the result, too; yes if not given. */
  readonly includeResult?: boolean | undefined;
  /** Ask for the payload, too. */
  readonly includePayload?: boolean | undefined;
}

/** The options of retry(). */
export interface RetryOptions extends CallOptions {
  /** As of a submit. */
  readonly requestId?: string | undefined;
}

/** Which jobs list() gives. */
export interface ListOptions extends CallOptions {
  /** To list; "default" if not given. */
  readonly queue?: string | undefined;
  /** To list; all if not given. */
  readonly states?: readonly JobState[] | undefined;
  /** To list; all if not given. */
  readonly type?: string | undefined;
  /** 1 to 1,000; 100 if not given. */
  readonly pageSize?: number | undefined;
}

/** One page of a list. */
export interface Page {
  readonly jobs: readonly Job[];
  /** "" after the last page. */
  readonly nextPageToken: string;
}

/**
 * A client of a gateway. One is enough for a process.
 *
 * A call that finds no gateway, or one that cannot serve, is repeated until its time is up; waits
 * and watches go on for longer. So a gateway that restarts goes unnoticed. Every call may end with
 * a StatusError, whose class says what happened: see errors.ts.
 *
 * @typeParam Types - a map of the job types that it submits (see JobType), which payloads and
 * results are then typed by.
 * @typeParam Topics - a map of the topics that it publishes to: what a message of each holds.
 */
export class PenstockClient<Types extends JobTypeMap<Types> = AnyJobs, Topics = AnyTopics> {
  /** Queues and workers: counts, pauses, dead letters. */
  readonly queues: Queues;
  /** Jobs that recur. */
  readonly schedules: Schedules<Types>;
  readonly #rpc: Rpc;

  /**
   * @param address - of the gateway, as a gRPC target: host:port, dns:///host:port, unix:/path. If
   * not given, PENSTOCK_ADDRESS, else 127.0.0.1:50051.
   */
  constructor(address?: string, options: ClientOptions = {}) {
    const { tls = false, timeoutMs = 10_000, reconnectForMs = 300_000, retryForMs } = options;
    // gRPC knows of deadlines only, so where repeating has a shorter limit it must not repeat.
    const connection = new Connection(address, tls, retryForMs === undefined);
    this.#rpc = new Rpc(connection, { timeoutMs, reconnectForMs, retryForMs });
    this.queues = new Queues(this.#rpc);
    this.schedules = new Schedules(this.#rpc, (submitted) => this.#handOut(submitted));
  }

  /** Of the gateway. */
  get address(): string {
    return this.#rpc.connection.address;
  }

  /**
   * Stores one job. Repeated under the same `requestId`, it is the same job.
   *
   * @param type - name that its handler is registered under.
   * @param rest - the payload (anything with a JSON form, or a Uint8Array), and options.
   * @throws InvalidRequest: a field breaks a rule, or the payload its type's schema.
   * @throws FailedPrecondition: no worker ever registered the type; see `allowUnregistered`.
   * @throws AlreadyExists: the request id or idempotency key stands for other work.
   * @throws Unavailable: no gateway, or none that can store it now.
   * @throws DeadlineExceeded: no answer in time; a submit under the same request id settles it.
   */
  async submit<Name extends NamesOf<Types>>(
    type: Name,
    ...rest: SubmitArguments<Types[Name]["payload"]>
  ): Promise<JobHandle<Types[Name]["result"]>> {
    const [payload, options = {}]: [unknown?, SubmitOptions?] = rest;
    const job = specOf(type, payload, options);
    const call = this.#rpc.call(JobServiceService.submitJob, { job }, options);
    const answer = await settledBy(call, "requestId", job.requestId);
    return this.#handOut(submittedOf(answer.job, job.requestId));
  }

  /**
   * Stores one job, and answers with its id: what the part of a program needs that only accepts
   * work. As submit() in all else.
   */
  async addJobToQueue<Name extends NamesOf<Types>>(
    type: Name,
    ...rest: SubmitArguments<Types[Name]["payload"]>
  ): Promise<string> {
    return (await this.submit(type, ...rest)).jobId;
  }

  /**
   * Stores any number of jobs, up to 1,000 in a call; one bad job does not spoil the others.
   *
   * @returns For each job, in order, its handle, or the error that kept it out.
   */
  async submitMany(
    jobs: Iterable<NewJob<Types>>,
    options: CallOptions = {},
  ): Promise<(JobHandle | StatusError)[]> {
    const handles: (JobHandle | StatusError)[] = [];
    for await (const outcomes of submitAll(this.#rpc, jobs as Iterable<NewJob>, options)) {
      for (const outcome of outcomes) {
        handles.push(outcome instanceof StatusError ? outcome : this.#handOut(outcome));
      }
    }
    return handles;
  }

  /**
   * Publishes a message once: every subscription that wants it gets a job of its own.
   *
   * It answers once all the jobs are stored. Repeated under the same `messageId`, it completes what
   * a failure left undone, and nobody gets the message twice.
   *
   * @param topic - such as order.created.
   * @param rest - the payload (anything with a JSON form, or a Uint8Array), and options.
   * @throws InvalidRequest: a field breaks a rule, or the payload a schema: that of the topic's
   * rule, or of a subscription's type.
   * @throws AlreadyExists: the message id stands for another topic or payload.
   */
  publish<Name extends NamesOf<Topics>>(
    topic: Name,
    ...rest: PublishArguments<Topics[Name]>
  ): Promise<Published> {
    const [payload, options = {}]: [unknown?, PublishOptions?] = rest;
    return publish(this.#rpc, topic, payload, options);
  }

  /**
   * Forgets cached results, all together, in one step.
   *
   * Once it is answered, no submit that is sent later is answered with a job that was submitted
   * before, cached or under way.
   *
   * @throws Unavailable: nothing may have been forgotten.
   */
  invalidate(targets: readonly CacheTarget[], options?: CallOptions): Promise<void> {
    return invalidate(this.#rpc, targets, options);
  }

  /** A handle for a job that was submitted at another time. Asks nothing. */
  handle<Result = unknown>(jobId: string): JobHandle<Result> {
    return new JobHandle<Result>(this, jobId);
  }

  /**
   * The job as it stands.
   *
   * @throws NotFound: no such job, or it is past its retention.
   */
  async status<Result = unknown>(jobId: string, options: StatusOptions = {}): Promise<Job<Result>> {
    const { includePayload = false, includeResult = true } = options;
    const request = { jobId, includePayload, includeResult };
    const answer = await this.#rpc.call(JobServiceService.getStatus, request, options);
    return jobOf(answer.job);
  }

  /**
   * Waits until the job has ended, in whatever way, and returns it with its result.
   *
   * @throws WaitTimeout: the job had not ended in time.
   * @throws Unavailable: no gateway for longer than the client's `reconnectForMs`.
   */
  wait<Result = unknown>(jobId: string, options: WaitOptions = {}): Promise<Job<Result>> {
    return wait<Result>(this.#rpc, jobId, options);
  }

  /**
   * Waits for what the job's handler returned: JSON decoded, other content as bytes.
   *
   * @throws JobFailed: it ended without a result; likewise JobCancelled, JobExpired.
   * @throws WaitTimeout: it had not ended in time.
   */
  async result<Result = unknown>(jobId: string, options: WaitOptions = {}): Promise<Result> {
    return resultOf(await this.wait<Result>(jobId, options));
  }

  /** Follows a job: a snapshot, then every event after a sequence, up to the terminal one. */
  watch<Result = unknown>(jobId: string, options: WatchOptions = {}): JobWatch<Result> {
    return new JobWatch<Result>(this.#rpc, jobId, options);
  }

  /**
   * Ends a waiting job, asks a running one to stop; a terminal one stays as it is.
   *
   * @param reason - shown to watchers and to the handler; up to 1 KiB.
   * @returns The job: CANCELLED, or RUNNING with cancelRequested, or as it ended before.
   */
  async cancel<Result = unknown>(
    jobId: string,
    reason = "",
    options?: CallOptions,
  ): Promise<Job<Result>> {
    const request = { jobId, reason };
    const answer = await this.#rpc.call(JobServiceService.cancelJob, request, options);
    return jobOf(answer.job);
  }

  /**
   * Makes a new job from one that is FAILED, CANCELLED or EXPIRED.
   *
   * @throws FailedPrecondition: the job is in another state.
   */
  async retry<Result = unknown>(
    jobId: string,
    options: RetryOptions = {},
  ): Promise<JobHandle<Result>> {
    const requestId = options.requestId ?? newRequestId();
    const request = { jobId, requestId };
    const answer = await this.#rpc.call(JobServiceService.retryJob, request, options);
    return this.#handOut(submittedOf(answer.job, requestId));
  }

  /**
   * All jobs of a queue, without payloads and results, fetched page by page.
   *
   * Jobs that change state meanwhile may be seen twice or not at all.
   */
  async *list(options: ListOptions = {}): AsyncGenerator<Job, void, undefined> {
    let token = "";
    do {
      const page = await this.listPage(options, token);
      yield* page.jobs;
      token = page.nextPageToken;
    } while (token !== "");
  }

  /**
   * One page of list(), for those who keep their place themselves.
   *
   * @param pageToken - of the page before; "" for the first.
   */
  async listPage(options: ListOptions = {}, pageToken = ""): Promise<Page> {
    const { queue = "", states = [], type = "", pageSize = 0 } = options;
    const request = { queue, states: states.map(stateNumberOf), type, pageSize, pageToken };
    const answer = await this.#rpc.call(JobServiceService.listJobs, request, options);
    return { jobs: answer.jobs.map((job) => jobOf(job)), nextPageToken: answer.nextPageToken };
  }

  /**
   * Whether a service of the gateway is serving; tried once, since a probe wants to know now.
   *
   * @param service - full name, such as penstock.v1.JobService; "" is the gateway as a whole.
   * @throws NotFound: the gateway has no such service.
   * @throws Unavailable: no gateway can be reached.
   */
  async health(service = "", options: CallOptions = {}): Promise<boolean> {
    const { rpcTimeoutMs = this.#rpc.patience.timeoutMs, signal } = options;
    const answer = await this.#rpc.connection.unary(
      HealthService.check,
      { service },
      rpcTimeoutMs,
      signal,
    );
    return answer.status === HealthCheckResponse_ServingStatus.SERVING;
  }

  /** Ends every call, which then ends with ClientClosed, and the connection. Idempotent. */
  close(): void {
    this.#rpc.connection.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #handOut<Result>(submitted: Submitted): JobHandle<Result> {
    return new JobHandle<Result>(this, submitted.jobId, submitted);
  }
}
