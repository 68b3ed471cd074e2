/** What those who run queues ask of a gateway, and what it tells of queues and workers. */

import * as wire from "../gen/penstock/v1/job.js";
import {
  type ConcurrencyLimit as WireLimit,
  type GetQueueStatsResponse,
  type Queue as WireQueue,
  QueueServiceService,
  type QueueStats as WireStats,
  type WaitingByPriority,
  type WorkerInfo as WireWorker,
} from "../gen/penstock/v1/queue_service.js";
import { millisecondsOf, present } from "./from-wire.js";
import type { Durability, FailureReason, JobState } from "./job.js";
import { givenNameOf, nameOf } from "./names.js";
import type { CallOptions, Rpc } from "./rpc.js";
import { durationOf, stateNumberOf } from "./to-wire.js";

/** A place where jobs wait. */
export type Queue = Readonly<WireQueue>;

/** One worker process as it last reported. */
export type WorkerInfo = Readonly<WireWorker>;

/** How many jobs may run at once, and how many do. */
export interface ConcurrencyLimit extends Readonly<Omit<WireLimit, "concurrency">> {
  /** The limit; undefined for a type whose limit was taken back while jobs were held. */
  readonly concurrency: number | undefined;
}

/** The fields of the contract that read otherwise here. */
type Reworded = "failedByReason" | "oldestWaitingAge" | "waiting";

/** The counts of a queue; those of terminal states are of jobs that are still kept. */
export interface QueueStats extends Readonly<Omit<WireStats, Reworded>> {
  readonly queue: Queue;
  /** QUEUED jobs by priority. */
  readonly waiting: Readonly<WaitingByPriority>;
  /** Since the queue was created. */
  readonly failedByReason: Readonly<Partial<Record<FailureReason, number>>>;
  /** How long the oldest QUEUED job has waited, in milliseconds; undefined if none waits. */
  readonly oldestWaitingAgeMs: number | undefined;
  /** Of how many run at once: that of the queue first, then those of types, by name. */
  readonly limits: readonly ConcurrencyLimit[];
  /** That submits are acknowledged with now, by the gateway that answered. */
  readonly durability: Durability | undefined;
  /**
   * That what is written now has; where that is less, since replicas do not confirm, nothing is
   * acknowledged. Undefined is unknown.
   */
  readonly durabilityReached: Durability | undefined;
  /** How many jobs may wait before submits are refused; undefined is any number. */
  readonly maxWaiting: number | undefined;
}

/** The options of calls that work in bounded steps: each of them is a call of its own. */
export interface StepOptions extends CallOptions {
  /** Called with the number of jobs so far. */
  readonly onProgress?: ((jobs: number) => void) | undefined;
}

/** The options of redrive(). */
export interface RedriveOptions extends StepOptions {
  /** Of the jobs; all if not given. */
  readonly type?: string | undefined;
}

/** The options of clean(). */
export interface CleanOptions extends RedriveOptions {
  /** How long ago they ended at least; all of them if not given. */
  readonly olderThanMs?: number | undefined;
}

/**
 * The queues of a gateway; see PenstockClient.queues.
 *
 * Every call may end with a StatusError, most likely NotFound: a queue that was never submitted to,
 * nor served by a worker. All may be repeated.
 */
export class Queues {
  readonly #rpc: Rpc;

  constructor(rpc: Rpc) {
    this.#rpc = rpc;
  }

  /** All queues, by name. */
  async list(options?: CallOptions): Promise<readonly Queue[]> {
    return (await this.#rpc.call(QueueServiceService.listQueues, {}, options)).queues;
  }

  /** The counts of a queue. */
  async stats(queue = "default", options?: CallOptions): Promise<QueueStats> {
    return statsOf(await this.#rpc.call(QueueServiceService.getQueueStats, { queue }, options));
  }

  /** Stops grants: running jobs go on, submits are accepted. */
  async pause(queue = "default", options?: CallOptions): Promise<Queue> {
    const answer = await this.#rpc.call(QueueServiceService.pauseQueue, { queue }, options);
    return present(answer.queue);
  }

  /** Undoes pause(). */
  async resume(queue = "default", options?: CallOptions): Promise<Queue> {
    const answer = await this.#rpc.call(QueueServiceService.resumeQueue, { queue }, options);
    return present(answer.queue);
  }

  /**
   * Cancels all jobs that wait, QUEUED and SCHEDULED.
   *
   * @returns How many were cancelled; fewer than there were, if a call had to be repeated.
   */
  async purge(queue: string, options: StepOptions = {}): Promise<number> {
    return this.#sum(options, async () => {
      const answer = await this.#rpc.call(QueueServiceService.purgeQueue, { queue }, options);
      return [answer.cancelled, answer.more ? "more" : ""];
    });
  }

  /**
   * Removes jobs that have ended, with their results.
   *
   * @param states - of the jobs: SUCCEEDED, FAILED, CANCELLED, EXPIRED.
   * @returns How many were removed; fewer than there were, if a call had to be repeated.
   * @throws InvalidRequest: no state is given, or one in which jobs have not ended.
   */
  async clean(
    queue: string,
    states: readonly JobState[],
    options: CleanOptions = {},
  ): Promise<number> {
    const { olderThanMs = 0, type = "" } = options;
    const wanted = { queue, type, states: states.map(stateNumberOf) };
    const olderThan = durationOf(olderThanMs);
    return this.#sum(options, async (pageToken) => {
      const request = { ...wanted, olderThan, pageToken };
      const answer = await this.#rpc.call(QueueServiceService.cleanQueue, request, options);
      return [answer.removed, answer.nextPageToken];
    });
  }

  /**
   * Makes a new job from each dead letter that was not redriven before.
   *
   * For as long as the new job is kept, repeating it makes no second one.
   *
   * @returns How many were made.
   */
  async redrive(queue: string, options: RedriveOptions = {}): Promise<number> {
    const { type = "" } = options;
    return this.#sum(options, async (pageToken) => {
      const request = { queue, type, pageToken };
      const method = QueueServiceService.redriveDeadLetters;
      const answer = await this.#rpc.call(method, request, options);
      return [answer.redriven, answer.nextPageToken];
    });
  }

  /** Worker processes seen lately, by id; those of one queue, if it is given. */
  async workers(queue = "", options?: CallOptions): Promise<readonly WorkerInfo[]> {
    return (await this.#rpc.call(QueueServiceService.listWorkers, { queue }, options)).workers;
  }

  /** Calls step by step, each with the token of the one before, until that is "". */
  async #sum(
    { onProgress }: StepOptions,
    step: (token: string) => Promise<[jobs: number, next: string]>,
  ): Promise<number> {
    let sum = 0;
    let token = "";
    do {
      const [jobs, next] = await step(token);
      sum += jobs;
      token = next;
      onProgress?.(sum);
    } while (token !== "");
    return sum;
  }
}

function statsOf(message: GetQueueStatsResponse): QueueStats {
  const { failedByReason, oldestWaitingAge, waiting, ...counts } = present(message.stats);
  return {
    ...counts,
    queue: present(message.queue),
    waiting: waiting ?? { high: 0, default: 0, low: 0 },
    failedByReason: Object.fromEntries(
      failedByReason.map(({ reason, count }) => [givenNameOf(wire.FailureReason, reason), count]),
    ),
    oldestWaitingAgeMs: oldestWaitingAge && millisecondsOf(oldestWaitingAge),
    limits: message.limits.map(({ concurrency, ...limit }) => ({
      ...limit,
      concurrency: concurrency || undefined,
    })),
    durability: nameOf(wire.Durability, message.durability),
    durabilityReached: nameOf(wire.Durability, message.durabilityReached),
    maxWaiting: message.maxWaiting || undefined,
  };
}
