/** A job that somebody submitted, and what can be done with it. */

import type { PenstockClient } from "./client.js";
import { decode } from "./content.js";
import type { Job, Submitted } from "./job.js";
import type { CallOptions } from "./rpc.js";
import type { RetryOptions, StatusOptions } from "./client.js";
import type { WaitOptions } from "./wait.js";
import type { JobWatch, WatchOptions } from "./watch.js";

type Calls = Pick<PenstockClient, "cancel" | "result" | "retry" | "status" | "wait" | "watch">;

/** One job, by its id. */
export class JobHandle<Result = unknown> {
  readonly jobId: string;
  /** Receipt of the submit; undefined for a handle that was made from an id. */
  readonly submitted: Submitted | undefined;
  readonly #client: Calls;

  constructor(client: Calls, jobId: string, submitted?: Submitted) {
    this.#client = client;
    this.jobId = jobId;
    this.submitted = submitted;
  }

  /** See PenstockClient.status(). */
  status(options?: StatusOptions): Promise<Job<Result>> {
    return this.#client.status<Result>(this.jobId, options);
  }

  /** See PenstockClient.wait(). */
  wait(options?: WaitOptions): Promise<Job<Result>> {
    return this.#client.wait<Result>(this.jobId, options);
  }

  /** See PenstockClient.result(). Of a hit in the cache, it is mostly here already. */
  async result(options?: WaitOptions): Promise<Result> {
    const told = this.submitted?.resultContent;
    if (told !== undefined) return decode(told) as Result;
    return this.#client.result<Result>(this.jobId, options);
  }

  /** See PenstockClient.watch(). */
  watch(options?: WatchOptions): JobWatch<Result> {
    return this.#client.watch<Result>(this.jobId, options);
  }

  /** See PenstockClient.cancel(). */
  cancel(reason?: string, options?: CallOptions): Promise<Job<Result>> {
    return this.#client.cancel<Result>(this.jobId, reason, options);
  }

  /** See PenstockClient.retry(). */
  retry(options?: RetryOptions): Promise<JobHandle<Result>> {
    return this.#client.retry<Result>(this.jobId, options);
  }
}
