/** Following one job: from a cursor to its last event, across whatever breaks on the way. */

import {
  type EndOfStream,
  EndOfStream_Reason,
  JobServiceService,
  type StreamProgressResponse,
} from "../gen/penstock/v1/job_service.js";
import type { ResponseStream } from "./connection.js";
import { Cursor } from "./cursor.js";
import { type StatusError, Unavailable } from "./errors.js";
import type { JobEvent } from "./events.js";
import { isBreak, Outage, pause, type Rpc } from "./rpc.js";

/** A stream that stood for this long was no part of an outage. */
const STEADY_MS = 5_000;

/** The options of a watch. */
export interface WatchOptions {
  /** The last sequence already seen; 0 (or none) gives every event. */
  readonly after?: number | undefined;
  /** How long to go on trying while no gateway answers; the client's own if not given. */
  readonly reconnectForMs?: number | undefined;
  /** Aborted, it ends the watch, which rejects with its reason. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * An iterator over the events of a job, which ends after the terminal one.
 *
 * When the stream breaks or ends early it is opened anew, after a pause, and goes on from the
 * cursor: no event is missed, none is given twice. For one `for await` at a time, whose end, early
 * or not, closes it; close() may be called from anywhere. A job that is gone is NotFound, a cursor
 * beyond the newest event CursorOutOfRange, and no gateway for longer than `reconnectForMs`
 * Unavailable.
 */
export class JobWatch<Result = unknown> implements AsyncIterableIterator<JobEvent<Result>> {
  readonly jobId: string;
  readonly #rpc: Rpc;
  readonly #cursor: Cursor<Result>;
  readonly #outage: Outage;
  readonly #signal: AbortSignal | undefined;
  readonly #closing = new AbortController();
  #stream: ResponseStream<StreamProgressResponse> | undefined;
  /** When this stream began to tell. */
  #heardAt: number | undefined;

  constructor(rpc: Rpc, jobId: string, options: WatchOptions) {
    this.jobId = jobId;
    this.#rpc = rpc;
    this.#cursor = new Cursor(jobId, options.after ?? 0);
    this.#outage = new Outage(options.reconnectForMs ?? rpc.patience.reconnectForMs);
    this.#signal = options.signal;
    this.#signal?.addEventListener("abort", this.#abort);
    if (this.#signal?.aborted) this.close();
  }

  /** Sequence of the last event given: pass it as `after` to go on another time. */
  get cursor(): number {
    return this.#cursor.sequence;
  }

  /** Whether it has come to its end, or was closed. */
  get closed(): boolean {
    return this.#closing.signal.aborted;
  }

  /** Ends the call and the iteration. Idempotent. */
  close(): void {
    this.#closing.abort();
    this.#signal?.removeEventListener("abort", this.#abort);
    this.#dropStream();
  }

  /** The next event. */
  async next(): Promise<IteratorResult<JobEvent<Result>, undefined>> {
    try {
      while (!this.closed && !this.#cursor.complete) {
        const event = await this.#step();
        if (event !== undefined) return { done: false, value: event };
      }
    } catch (error) {
      // Closed from elsewhere in the meantime: no event will come, and nothing is wrong.
      if (!this.closed) {
        this.close();
        throw error;
      }
    }
    this.close();
    this.#signal?.throwIfAborted();
    return { done: true, value: undefined };
  }

  /** Ends it early, as `break` does. */
  return(): Promise<IteratorResult<JobEvent<Result>, undefined>> {
    this.close();
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.close();
    return Promise.resolve();
  }

  readonly #abort = (): void => {
    this.close();
  };

  /** Reads one message; the event that it tells, if it is news. */
  async #step(): Promise<JobEvent<Result> | undefined> {
    const stream = (this.#stream ??= this.#open());
    try {
      const message = await stream.read();
      if (message === undefined) throw ended("the stream ended before its job did");
      if (message.event?.$case === "end") {
        await this.#goOnElsewhere(message.event.value);
        return undefined;
      }
      this.#heardAt ??= performance.now();
      const event = this.#cursor.take(message);
      if (message.event?.$case !== "snapshot") this.#outage.over();
      return event;
    } catch (error) {
      if (this.closed || !isBreak(error)) throw error;
      await this.#reopenLater(error);
      return undefined;
    }
  }

  #open(): ResponseStream<StreamProgressResponse> {
    this.#heardAt = undefined;
    return this.#rpc.connection.stream(JobServiceService.streamProgress, {
      jobId: this.jobId,
      afterSequence: this.cursor,
    });
  }

  get #steady(): boolean {
    return this.#heardAt !== undefined && performance.now() - this.#heardAt > STEADY_MS;
  }

  /** The gateway ended the stream; a new one goes on from the cursor. */
  async #goOnElsewhere(end: EndOfStream): Promise<void> {
    if (this.#steady && end.reason !== EndOfStream_Reason.SHUTDOWN) {
      this.#outage.over();
      this.#dropStream();
      return;
    }
    await this.#reopenLater(ended("the gateway ended the stream, for now"));
  }

  async #reopenLater(error: StatusError): Promise<void> {
    if (this.#steady) this.#outage.over();
    this.#dropStream();
    await pause(this.#outage.pauseMs(error), this.#closing.signal);
  }

  #dropStream(): void {
    this.#stream?.cancel();
    this.#stream = undefined;
  }
}

function ended(message: string): Unavailable {
  return new Unavailable({ code: "UNAVAILABLE", message });
}
