/** The site of expert-os in TypeScript, in front of the workers in Python. */

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, describe, test } from "node:test";

import { PenstockClient } from "@penstock/client";

import { addJobToQueue, type GeneratedContent, type Tasks } from "../examples/expert-os/queue.js";
import { Stack } from "./support/processes.js";
import { eventually } from "./support/waiting.js";

const SITE = join(import.meta.dirname, "../examples/expert-os/web.js");
const WISH = { type: "GENERATE_CONTENT", data: { prompt: "Queues", max_tokens: 5 } };

describe("the site of expert-os", () => {
  let stack: Stack;
  let site: ChildProcess;
  let url: string;

  before(async () => {
    stack = await Stack.start("examples.expert_os.worker:app");
    site = spawn(process.execPath, [SITE], {
      env: { ...process.env, PENSTOCK_ADDRESS: stack.address, PORT: "0" },
      stdio: ["ignore", "pipe", "inherit"],
    });
    assert.ok(site.stdout);
    [url] = (await once(createInterface(site.stdout), "line")) as [string];
  });

  after(async () => {
    const ended = once(site, "exit");
    site.kill();
    await ended;
    await stack[Symbol.asyncDispose]();
  });

  const post = (task: unknown, headers: Record<string, string> = {}): Promise<Response> =>
    fetch(`${url}/tasks`, { method: "POST", headers, body: JSON.stringify(task) });
  const get = async (path: string): Promise<unknown> => (await fetch(`${url}${path}`)).json();
  const accepted = async (answer: Response): Promise<string> => {
    assert.equal(answer.status, 202);
    return ((await answer.json()) as { job_id: string }).job_id;
  };

  test("accepts a task, which a worker does", async () => {
    const jobId = await accepted(await post(WISH));
    using client = new PenstockClient<Tasks>(stack.address);
    const tokens: string[] = [];
    for await (const event of client.watch(jobId)) {
      if (event.kind === "chunk") tokens.push(event.text);
    }
    const { text, model } = await client.result<GeneratedContent>(jobId);
    assert.deepEqual([text, model], [tokens.join(""), "offline"]);
    const { status, result } = (await get(`/tasks/${jobId}`)) as Record<string, unknown>;
    assert.deepEqual([status, (result as GeneratedContent).text], ["succeeded", text]);
  });

  test("takes a repeated request for the same task", async () => {
    const key = { "idempotency-key": "click-1" };
    const first = await accepted(await post(WISH, key));
    assert.equal(await accepted(await post(WISH, key)), first);
    const other = { ...WISH, data: { prompt: "Others" } };
    assert.equal((await post(other, key)).status, 409);
  });

  test("refuses what is wrong, and says what", async () => {
    const wrong = { type: "GENERATE_CONTENT", data: { prompt: "", max_tokens: 10_000 } };
    const answer = await post(wrong);
    assert.equal(answer.status, 422);
    const { detail } = (await answer.json()) as { detail: { field: string }[] };
    assert.deepEqual(detail.map(({ field }) => field.split("/")[1]).sort(), [
      "max_tokens",
      "prompt",
    ]);
    for (const body of [undefined, {}, { type: "SEND_MAIL", data: {} }, { type: WISH.type }]) {
      assert.equal((await post(body)).status, 400);
    }
    assert.equal((await fetch(`${url}/tasks/${"0".repeat(36)}`)).status, 404);
    assert.equal((await fetch(`${url}/elsewhere`)).status, 404);
  });

  test("stays up while there is no gateway", async () => {
    await stack.endGateway("SIGKILL");
    const refused = await post(WISH);
    assert.equal(refused.status, 503);
    assert.ok(refused.headers.has("retry-after"));
    assert.deepEqual(await get("/health"), { status: "ok", tasks: "unavailable" });
    await stack.startGateway();
    const recovered = async (): Promise<boolean> =>
      ((await get("/health")) as { tasks: string }).tasks === "ok";
    await eventually(recovered, "the site recovers", 20_000);
    await accepted(await post(WISH));
  });
});

test("data of another type does not compile", () => {
  // Never called: the compiler is the test, and complains where a line is no error.
  const never = async (): Promise<void> => {
    await addJobToQueue("GENERATE_CONTENT", { prompt: "Queues" });
    // @ts-expect-error: no such type
    await addJobToQueue("SEND_MAIL", { prompt: "Queues" });
    // @ts-expect-error: data of another type
    await addJobToQueue("PROCESS_DOCUMENT", { prompt: "Queues" });
    // @ts-expect-error: a number for a text
    await addJobToQueue("GENERATE_CONTENT", { prompt: 7 });
    // @ts-expect-error: a field that there is not
    await addJobToQueue("GENERATE_CONTENT", { prompt: "Queues", tone: "kind" });
    // @ts-expect-error: no data at all
    await addJobToQueue("GENERATE_CONTENT");
  };
  assert.ok(never);
});
