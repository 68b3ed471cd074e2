/**
 * Calls that are repeated for as long as it makes sense.
 *
 * gRPC repeats a call itself, within about a second (gen/service_config.ts). That hides a dropped
 * connection; a gateway that restarts takes longer, and is met here. Every method may be repeated:
 * those that store something carry a request id, the others ask, or do again what is done already.
 */

import { setTimeout as sleep } from "node:timers/promises";

import type { MethodDefinition } from "@grpc/grpc-js";

import type { Connection } from "./connection.js";
import {
  DeadlineExceeded,
  Internal,
  ResourceExhausted,
  StatusError,
  Unavailable,
} from "./errors.js";

const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 1_000;

/** The options of any call. */
export interface CallOptions {
  /** For all tries together, in milliseconds; the client's own `timeoutMs` if not given. */
  readonly rpcTimeoutMs?: number | undefined;
  /** Aborted, it ends the call, which rejects with its reason. */
  readonly signal?: AbortSignal | undefined;
}

/** Whether it is worth while to try again: nothing is wrong with the call itself. */
export function isPassing(error: unknown): error is StatusError {
  // Without a hint when to come back it is a limit that time does not mend, such as the size of a
  // message.
  if (error instanceof ResourceExhausted) return error.retryAfterMs !== undefined;
  return error instanceof Unavailable;
}

/**
 * Whether a stream that ends so may be gone on with.
 *
 * Besides what is passing: what gateways never send, so that it was made on the way, by a proxy's
 * time limit, or by a connection that broke in the middle of a frame.
 */
export function isBreak(error: unknown): error is StatusError {
  const cut = error instanceof Internal && error.status.message.includes("RST_STREAM");
  return cut || isPassing(error) || error instanceof DeadlineExceeded;
}

/** A time in which calls fail, from the first failure on, and when to call again. */
export class Outage {
  readonly #limitMs: number;
  #failures = 0;
  #endsBy = 0;

  /** @param limitMs - how long it may last. */
  constructor(limitMs: number) {
    this.#limitMs = limitMs;
  }

  /** A call succeeded. */
  over(): void {
    this.#failures = 0;
  }

  /**
   * The pause before the next try after a failure that is passing, in milliseconds.
   *
   * @throws StatusError: the error itself, if the outage would outlast its limit.
   */
  pauseMs(error: StatusError): number {
    const now = performance.now();
    if (this.#failures === 0) this.#endsBy = now + this.#limitMs;
    const backoff = Math.min(FIRST_PAUSE_MS * 2 ** this.#failures, LONGEST_PAUSE_MS);
    this.#failures += 1;
    // At least half of it, so that callers spread without calling at once again.
    const pause = Math.max(backoff * (0.5 + Math.random() / 2), error.retryAfterMs ?? 0);
    if (now + pause >= this.#endsBy) throw error;
    return pause;
  }
}

/** Waits; aborted, it rejects with the signal's reason. */
export async function pause(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  try {
    await sleep(milliseconds, undefined, signal && { signal });
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  }
}

/** A call whose error, where it leaves that open, tells how to find out whether it took effect. */
export async function settledBy<Response>(
  call: Promise<Response>,
  name: string,
  id: string,
): Promise<Response> {
  try {
    return await call;
  } catch (error) {
    if (error instanceof DeadlineExceeded || error instanceof Unavailable) {
      error.message += `\nWhether it took effect is not known; the same with ${name} ${id} settles it.`;
    }
    throw error;
  }
}

/** How long calls may take, in milliseconds. */
export interface Patience {
  /** Of a call that is given none, retries included. */
  readonly timeoutMs: number;
  /** How long a wait or a watch outlives a gateway that is away. */
  readonly reconnectForMs: number;
  /** How long after its start a call is still repeated; undefined is to the end of its time. */
  readonly retryForMs: number | undefined;
}

/** Calls over a connection. */
export class Rpc {
  readonly connection: Connection;
  readonly patience: Patience;

  constructor(connection: Connection, patience: Patience) {
    this.connection = connection;
    this.patience = patience;
  }

  /**
   * Calls a method until it is answered, or until the time is up.
   *
   * @throws StatusError: of the last try.
   */
  async call<Request, Response>(
    method: MethodDefinition<Request, Response>,
    request: Request,
    { rpcTimeoutMs, signal }: CallOptions = {},
  ): Promise<Response> {
    const { timeoutMs, retryForMs = Infinity } = this.patience;
    const budgetMs = rpcTimeoutMs ?? timeoutMs;
    const began = performance.now();
    const giveUp = began + budgetMs;
    let outage: Outage | undefined;
    let cause: StatusError | undefined;
    for (;;) {
      const leftMs = Math.max(giveUp - performance.now(), 1);
      try {
        return await this.connection.unary(method, request, leftMs, signal);
      } catch (error) {
        // It tells more than that the time is up.
        if (error instanceof DeadlineExceeded && cause !== undefined) throw cause;
        if (!isPassing(error)) throw error;
        cause = error;
      }
      outage ??= new Outage(Math.min(giveUp, began + retryForMs) - performance.now());
      await pause(outage.pauseMs(cause), signal);
    }
  }
}
