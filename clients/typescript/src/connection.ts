/** A connection to a gateway: calls, with the errors of this client, that can all be ended. */

import {
  Client,
  type ClientReadableStream,
  Metadata,
  type MethodDefinition,
  type ServiceError,
} from "@grpc/grpc-js";

import { addressOf, channelOptions, credentialsOf, type Tls } from "./channel.js";
import { ClientClosed } from "./errors.js";
import { errorOf } from "./status.js";

interface Cancellable {
  cancel(): void;
}

/** Calls over one channel. */
export class Connection {
  readonly address: string;
  readonly #client: Client;
  readonly #calls = new Set<Cancellable>();
  #closed = false;

  constructor(address: string | undefined, tls: Tls, repeats: boolean) {
    this.address = addressOf(address);
    const options = channelOptions(this.address, repeats);
    this.#client = new Client(this.address, credentialsOf(tls), options);
  }

  /**
   * Calls a method once.
   *
   * @throws StatusError: it ended with a status other than OK.
   */
  unary<Request, Response>(
    method: MethodDefinition<Request, Response>,
    request: Request,
    timeoutMs: number,
    signal?: AbortSignal,
  ): Promise<Response> {
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      this.#checkOpen();
      const call = this.#client.makeUnaryRequest(
        method.path,
        method.requestSerialize,
        method.responseDeserialize,
        request,
        new Metadata(),
        { deadline: Date.now() + timeoutMs },
        (error, response) => {
          this.#calls.delete(call);
          signal?.removeEventListener("abort", cancel);
          if (error === null) resolve(response as Response);
          else if (signal?.aborted) reject(signal.reason);
          else reject(this.#errorOf(error));
        },
      );
      const cancel = (): void => {
        call.cancel();
      };
      this.#calls.add(call);
      signal?.addEventListener("abort", cancel);
    });
  }

  /** Calls a method that answers with a stream. It has no deadline. */
  stream<Request, Response>(
    method: MethodDefinition<Request, Response>,
    request: Request,
  ): ResponseStream<Response> {
    this.#checkOpen();
    const call = this.#client.makeServerStreamRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      request,
      new Metadata(),
    );
    this.#calls.add(call);
    call.once("status", () => this.#calls.delete(call));
    return new ResponseStream(call, (error) => this.#errorOf(error));
  }

  /** Ends every call, and the connection. Idempotent. */
  close(): void {
    this.#closed = true;
    for (const call of this.#calls) call.cancel();
    this.#client.close();
  }

  #checkOpen(): void {
    if (this.#closed) throw new ClientClosed();
  }

  #errorOf(error: ServiceError): Error {
    return this.#closed ? new ClientClosed() : errorOf(error, this.address);
  }
}

/** A call that is answered with messages. */
export class ResponseStream<Response> {
  readonly #call: ClientReadableStream<Response>;
  readonly #messages: AsyncIterator<Response>;
  readonly #errorOf: (error: ServiceError) => Error;

  constructor(call: ClientReadableStream<Response>, errorOf: (error: ServiceError) => Error) {
    this.#call = call;
    this.#errorOf = errorOf;
    // An error is told to whoever reads; where nobody does any more, it must not end the process.
    call.on("error", () => undefined);
    this.#messages = call[Symbol.asyncIterator]() as AsyncIterator<Response>;
  }

  /**
   * The next message; undefined after the last.
   *
   * @throws StatusError: it ended with a status other than OK.
   */
  async read(): Promise<Response | undefined> {
    try {
      const next = await this.#messages.next();
      return next.done ? undefined : next.value;
    } catch (error) {
      throw this.#errorOf(error as ServiceError);
    }
  }

  /** Ends it, and any read(). Idempotent. */
  cancel(): void {
    this.#call.cancel();
  }
}
