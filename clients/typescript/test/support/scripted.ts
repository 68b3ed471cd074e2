/** A gateway that answers as a test tells it to, for faults that a real one does not show on order. */

import { once } from "node:events";

import {
  Metadata,
  Server,
  ServerCredentials,
  type ServerErrorResponse,
  type ServerWritableStream,
  type sendUnaryData,
  type ServerUnaryCall,
  status,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js";

import { Any } from "../../gen/google/protobuf/any.js";
import { RetryInfo } from "../../gen/google/rpc/error_details.js";
import { Status } from "../../gen/google/rpc/status.js";
import { Job, JobState, type JobSpec } from "../../gen/penstock/v1/job.js";
import {
  JobServiceService,
  type StreamProgressRequest,
  StreamProgressResponse,
  type SubmitJobRequest,
  SubmitJobResponse,
  type SubmitJobsRequest,
  SubmitJobsResponse,
  SubmitOutcome,
  type SubmitResult,
} from "../../gen/penstock/v1/job_service.js";

/** What a call is answered with; undefined is never. */
type UnaryScript<Request, Response> = (
  request: Request,
) => Response | ServerErrorResponse | undefined;
type StreamScript = (
  call: ServerWritableStream<StreamProgressRequest, StreamProgressResponse>,
) => void;

/** Answers each call with the next line of its script; the last is repeated. */
export class ScriptedGateway implements AsyncDisposable {
  readonly #server = new Server();
  #port = 0;
  readonly submits: JobSpec[] = [];
  readonly batches: JobSpec[][] = [];
  readonly watches: StreamProgressRequest[] = [];
  submit: UnaryScript<SubmitJobRequest, SubmitJobResponse>[] = [];
  submitMany: UnaryScript<SubmitJobsRequest, SubmitJobsResponse>[] = [];
  watch: StreamScript[] = [];

  static async start(credentials = ServerCredentials.createInsecure()): Promise<ScriptedGateway> {
    const gateway = new ScriptedGateway();
    gateway.#server.addService(JobServiceService, gateway.#implementation());
    gateway.#port = await new Promise<number>((resolve, reject) => {
      gateway.#server.bindAsync("127.0.0.1:0", credentials, (error, port) => {
        if (error) reject(error);
        else resolve(port);
      });
    });
    return gateway;
  }

  get address(): string {
    return `127.0.0.1:${this.#port}`;
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#server.forceShutdown();
    return Promise.resolve();
  }

  #implementation(): UntypedServiceImplementation {
    return {
      submitJob: (
        call: ServerUnaryCall<SubmitJobRequest, SubmitJobResponse>,
        done: sendUnaryData<SubmitJobResponse>,
      ) => {
        if (call.request.job) this.submits.push(call.request.job);
        answer(next(this.submit)(call.request), done);
      },
      submitJobs: (
        call: ServerUnaryCall<SubmitJobsRequest, SubmitJobsResponse>,
        done: sendUnaryData<SubmitJobsResponse>,
      ) => {
        this.batches.push(call.request.jobs);
        answer(next(this.submitMany)(call.request), done);
      },
      streamProgress: (
        call: ServerWritableStream<StreamProgressRequest, StreamProgressResponse>,
      ) => {
        this.watches.push(call.request);
        next(this.watch)(call);
      },
    };
  }
}

/** A receipt. */
export function stored(jobId = "job"): SubmitJobResponse {
  return SubmitJobResponse.fromPartial({
    job: { jobId, state: JobState.QUEUED, outcome: SubmitOutcome.CREATED },
  });
}

/** The answer to a batch. */
export function results(...all: SubmitResult["outcome"][]): SubmitJobsResponse {
  return SubmitJobsResponse.fromPartial({ results: all.map((outcome) => ({ outcome })) });
}

/** An error, as a gateway makes it, with RetryInfo. */
export function refuses(code: status, retryAfterMs?: number): ServerErrorResponse {
  const metadata = new Metadata();
  const details = retryAfterMs === undefined ? [] : [retryInfo(retryAfterMs)];
  const whole = Status.fromPartial({ code, message: "scripted", details });
  metadata.set("grpc-status-details-bin", Buffer.from(Status.encode(whole).finish()));
  return Object.assign(new Error("scripted"), { code, details: "scripted", metadata });
}

/** RetryInfo in an Any. */
export function retryInfo(milliseconds: number): Any {
  const delay = { seconds: 0, nanos: milliseconds * 1_000_000 };
  const value = RetryInfo.encode(RetryInfo.fromPartial({ retryDelay: delay })).finish();
  return Any.fromPartial({ typeUrl: "type.googleapis.com/google.rpc.RetryInfo", value });
}

/** A stream of messages, which then ends, or breaks. */
export function tells(
  messages: StreamProgressResponse[],
  then?: ServerErrorResponse,
): StreamScript {
  return (call) => {
    for (const message of messages) call.write(message);
    if (then) call.emit("error", then);
    else call.end();
  };
}

/** A stream that says these, and then nothing, until its reader is gone. */
export function hangs(messages: StreamProgressResponse[], left: () => void): StreamScript {
  return (call) => {
    for (const message of messages) call.write(message);
    void once(call, "cancelled").then(left);
  };
}

/** A message of a stream that tells of a chunk. */
export function chunk(first: number, last = first): StreamProgressResponse {
  const event = { $case: "chunk", value: { data: Buffer.from(String(last)), attempt: 1 } } as const;
  return StreamProgressResponse.fromPartial({ firstSequence: first, lastSequence: last, event });
}

/** The first message of a stream. */
export function snapshot(): StreamProgressResponse {
  const job = Job.fromPartial({ jobId: "job", state: JobState.RUNNING, lastSequence: 1 });
  return StreamProgressResponse.fromPartial({ event: { $case: "snapshot", value: job } });
}

/** The last message of a stream. */
export function terminal(sequence: number): StreamProgressResponse {
  const job = Job.fromPartial({ jobId: "job", state: JobState.SUCCEEDED, lastSequence: sequence });
  const change = { state: JobState.SUCCEEDED, attempt: 1, reason: "", job };
  return StreamProgressResponse.fromPartial({
    firstSequence: sequence,
    lastSequence: sequence,
    event: { $case: "stateChange", value: change },
  });
}

function next<Line>(script: Line[]): Line {
  const line = script.length > 1 ? script.shift() : script[0];
  if (line === undefined) throw new Error("the script has no line for this call");
  return line;
}

function answer<Response>(
  line: Response | ServerErrorResponse | undefined,
  done: sendUnaryData<Response>,
): void {
  if (line instanceof Error) done(line);
  else if (line !== undefined) done(null, line);
}
