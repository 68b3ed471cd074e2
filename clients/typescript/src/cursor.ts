/** Where a watch stands: which messages of a stream are news, and whether any are missing. */

import type { Job as WireJob } from "../gen/penstock/v1/job.js";
import type { StreamProgressResponse } from "../gen/penstock/v1/job_service.js";
import { Unavailable } from "./errors.js";
import type { JobEvent } from "./events.js";
import { eventOf, snapshotOf } from "./from-wire.js";

/** A position in the events of a job, moved by what streams bring, of which there may be many. */
export class Cursor<Result> {
  readonly jobId: string;
  /** Of the last event that was taken. */
  sequence: number;
  /** That was the job's last. */
  complete = false;
  #began = false;

  constructor(jobId: string, after: number) {
    this.jobId = jobId;
    this.sequence = after;
  }

  /**
   * The event that a message tells; undefined if it tells nothing new.
   *
   * @throws Unavailable: events are missing before this one; another stream will have them.
   * @throws Internal: this client is too old for the message.
   */
  take(message: StreamProgressResponse): JobEvent<Result> | undefined {
    if (message.event?.$case === "snapshot") return this.#takeSnapshot(message.event.value);
    const expected = this.sequence + 1;
    if (message.lastSequence < expected) return undefined;
    if (message.firstSequence > expected) {
      throw new Unavailable({
        code: "UNAVAILABLE",
        message:
          `the stream of job ${this.jobId} skipped from ${this.sequence} ` +
          `to ${message.firstSequence}`,
      });
    }
    // Merged reports may begin before the cursor, if they were merged otherwise last time.
    const event = eventOf<Result>(this.jobId, expected, message);
    this.sequence = message.lastSequence;
    this.complete = event.kind === "state" && event.terminal;
    return event;
  }

  #takeSnapshot(job: WireJob): JobEvent<Result> | undefined {
    const event = snapshotOf<Result>(job, this.sequence);
    this.complete = event.job.done && event.job.lastSequence <= this.sequence;
    const first = !this.#began;
    this.#began = true;
    return first ? event : undefined;
  }
}
