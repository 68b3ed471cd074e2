/** A web API that only accepts work: it answers with an id, or says clearly why it cannot. */

import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { json } from "node:stream/consumers";

import { InvalidRequest, type JobType, PenstockClient, StatusError } from "@penstock/client";

/** The jobs that this program submits: what each takes, and what it returns. */
interface Jobs {
  greet: JobType<{ name: string; times?: number }, string>;
}

// A visitor does not wait for a gateway that is away: they are told soon, and may come again.
const client = new PenstockClient<Jobs>(undefined, { timeoutMs: 2_000, retryForMs: 500 });

async function accept(request: IncomingMessage): Promise<[status: number, answer: unknown]> {
  const data = (await json(request)) as { name: string };
  try {
    const jobId = await client.addJobToQueue("greet", data, { priority: "HIGH" });
    return [202, { jobId }];
  } catch (error) {
    if (error instanceof InvalidRequest) return [400, { violations: error.violations }];
    if (error instanceof StatusError) return [503, { retryAfterMs: error.retryAfterMs ?? 1_000 }];
    throw error;
  }
}

const server = createServer((request, response) => {
  void accept(request)
    .catch(() => [400, { error: "the body must be JSON" }] as const)
    .then(([status, answer]) => response.writeHead(status).end(JSON.stringify(answer)));
});
server.listen(Number(process.env["PORT"] ?? 8080), "127.0.0.1", () => {
  console.log(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
});
