/** A web site that only accepts tasks: it answers with an id, or says clearly why it cannot. */

import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { json } from "node:stream/consumers";

import {
  AlreadyExists,
  InvalidRequest,
  NotFound,
  StatusError,
  type SubmitOptions,
} from "@penstock/client";

import { addJobToQueue, client, type Tasks, type TaskType } from "./queue.js";

type Answer = [status: number, body: unknown];
/** Any task, as it is posted: the compiler holds each type to its data. */
type Task = { [T in TaskType]: { type: T; data: Tasks[T]["payload"] } }[TaskType];

const MAX_BYTES = 64 * 1024;

async function answer(request: IncomingMessage): Promise<Answer> {
  const { pathname } = new URL(request.url ?? "/", "http://site");
  const [, first = "", jobId = ""] = pathname.split("/");
  if (request.method === "POST" && pathname === "/tasks") return accept(request);
  if (request.method === "GET" && first === "tasks" && jobId !== "") return status(jobId);
  if (request.method === "GET" && pathname === "/health") return health();
  return [404, { detail: "there is no such page" }];
}

async function accept(request: IncomingMessage): Promise<Answer> {
  const task = await taskOf(request);
  if (task === undefined) return [400, { detail: "the body is no task in JSON" }];
  const key = request.headers["idempotency-key"];
  const options = typeof key === "string" ? { requestId: `expert-os ${key}` } : {};
  return [202, { job_id: await added(task, options) }];
}

function added(task: Task, options: Pick<SubmitOptions, "requestId">): Promise<string> {
  switch (task.type) {
    case "PROCESS_DOCUMENT":
      return addJobToQueue(task.type, task.data, options);
    case "GENERATE_CONTENT":
      return addJobToQueue(task.type, task.data, options);
  }
}

/** What was posted, if it has the form of a task; what is in its data the gateway judges. */
async function taskOf(request: IncomingMessage): Promise<Task | undefined> {
  // What does not say how long it is may be of any length.
  if (Number(request.headers["content-length"] ?? Infinity) > MAX_BYTES) return undefined;
  const body = await json(request).catch(() => undefined);
  const types: readonly unknown[] = ["PROCESS_DOCUMENT", "GENERATE_CONTENT"] satisfies TaskType[];
  const isTask = typeof body === "object" && body !== null && "type" in body && "data" in body;
  return isTask && types.includes(body.type) ? (body as Task) : undefined;
}

async function status(jobId: string): Promise<Answer> {
  const { state, progress, attempt, result } = await client.status(jobId);
  return [200, { job_id: jobId, status: state.toLowerCase(), progress, attempt, result }];
}

async function health(): Promise<Answer> {
  const options = { rpcTimeoutMs: 1_000 };
  const serving = await client.health("penstock.v1.JobService", options).catch(() => false);
  return [200, { status: "ok", tasks: serving ? "ok" : "unavailable" }];
}

/** What a visitor is told of an error; none of them ends the process. */
function refusal(error: unknown): Answer {
  if (error instanceof InvalidRequest) return [422, { detail: error.violations }];
  if (error instanceof NotFound) return [404, { detail: "no such task" }];
  if (error instanceof AlreadyExists) return [409, { detail: "the key stands for another task" }];
  if (error instanceof StatusError) {
    return [503, { detail: "tasks cannot be accepted now; try again soon, with the same key" }];
  }
  console.error(error);
  return [500, { detail: "a fault of this site" }];
}

const server = createServer((request, response) => {
  void answer(request)
    .catch(refusal)
    .then(([code, body]) => {
      const again = code === 503 ? { "retry-after": "2" } : {};
      response.writeHead(code, { "content-type": "application/json", ...again });
      response.end(JSON.stringify(body));
    });
});
server.listen(Number(process.env["PORT"] ?? 8000), "127.0.0.1", () => {
  console.log(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
});
