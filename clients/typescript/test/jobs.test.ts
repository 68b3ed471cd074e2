/** Jobs of a real gateway and a real worker: submitted, waited for, watched, steered. */

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import {
  AlreadyExists,
  type ChunkEvent,
  FailedPrecondition,
  InvalidRequest,
  type Job,
  JobCancelled,
  JobFailed,
  type JobEvent,
  JobHandle,
  type JobType,
  NotFound,
  PenstockClient,
  StatusError,
  WaitTimeout,
} from "@penstock/client";

import { Stack } from "./support/processes.js";
import { eventually } from "./support/waiting.js";

interface Jobs {
  add: JobType<number[], number>;
  fail: JobType<undefined, null>;
  stay: JobType<undefined, null>;
  talk: JobType<{ chunks: number; gates?: Record<number, string> }, number>;
}

describe("jobs", () => {
  let stack: Stack;
  let client: PenstockClient<Jobs>;
  let any: PenstockClient;

  before(async () => {
    stack = await Stack.start();
    client = new PenstockClient<Jobs>(stack.address);
    any = new PenstockClient(stack.address);
  });

  after(async () => {
    client.close();
    any.close();
    await stack[Symbol.asyncDispose]();
  });

  test("a job is submitted, and its result waited for", async () => {
    const handle = await client.submit("add", [1, 2, 3]);
    const sum: number = await handle.result();
    assert.equal(sum, 6);
    const job: Job<number> = await handle.status({ includePayload: true });
    assert.equal(job.state, "SUCCEEDED");
    assert.equal(job.done, true);
    assert.deepEqual(job.payload, [1, 2, 3]);
    assert.equal(job.result, 6);
    assert.equal(job.retentionMs, 24 * 3600 * 1000);
    assert.ok(job.createTime instanceof Date);
    assert.equal(handle.submitted?.outcome, "CREATED");
    assert.equal(handle.submitted.durability, "EVERYSEC");
  });

  test("addJobToQueue answers with the id", async () => {
    const jobId = await client.addJobToQueue("add", [20, 22]);
    assert.equal(await client.result<number>(jobId), 42);
  });

  test("the compiler refuses what no handler takes", () => {
    const refused = async (): Promise<void> => {
      // @ts-expect-error: a wrong payload.
      await client.submit("add", "1, 2, 3");
      // @ts-expect-error: a payload is missing.
      await client.submit("add");
      // @ts-expect-error: an unknown type.
      await client.addJobToQueue("divide", [1, 2]);
      // @ts-expect-error: a wrong payload in a batch.
      await client.submitMany([{ type: "add", payload: { terms: [] } }]);
      // @ts-expect-error: a result is what its type says.
      const text: string = await (await client.submit("add", [1])).result();
      assert.fail(text);
    };
    assert.equal(typeof refused, "function");
  });

  test("the gateway refuses what does not fit the schema, with every violation", async () => {
    await assert.rejects(any.submit("add", [1, "2", null]), (error) => {
      assert.ok(error instanceof InvalidRequest);
      assert.equal(error.code, "INVALID_ARGUMENT");
      assert.equal(error.violations.length, 2);
      assert.match(error.violations[0]?.field ?? "", /^job\.payload/);
      assert.match(error.message, /^the request was refused: job\.payload/);
      return true;
    });
  });

  test("what contradicts itself is refused before it is sent", async () => {
    const options = { delayMs: 1, runAt: new Date(), timeoutMs: NaN, maxAttempts: 1.5 };
    await assert.rejects(client.submit("add", [1], options), (error) => {
      assert.ok(error instanceof InvalidRequest);
      assert.deepEqual(
        error.violations.map(({ field }) => field),
        ["job.options.timeout", "job.options.max_attempts", "job.options.run_at"],
      );
      return true;
    });
  });

  test("an unknown type is refused, unless that is allowed", async () => {
    await assert.rejects(any.submit("nobody.knows", {}), (error) => {
      assert.ok(error instanceof FailedPrecondition);
      assert.equal(error.reason, "UNKNOWN_JOB_TYPE");
      return true;
    });
    const options = { queue: "unserved", allowUnregistered: true, delayMs: 3_600_000 };
    const handle = await any.submit("nobody.knows", {}, options);
    assert.equal(handle.submitted?.state, "SCHEDULED");
    const job = await handle.cancel("enough");
    assert.equal(job.state, "CANCELLED");
    assert.equal(job.cancelReason, "enough");
    await assert.rejects(handle.result(), JobCancelled);
  });

  test("bytes go in and come out as they are", async () => {
    const handle = await any.submit("reverse", new Uint8Array([0, 1, 255]));
    assert.deepEqual([...((await handle.result()) as Uint8Array)], [255, 1, 0]);
  });

  test("every option arrives", async () => {
    const runAt = new Date(Date.now() + 3_600_000);
    const deadline = new Date(Date.now() + 7_200_000);
    const handle = await client.submit("add", [1], {
      queue: "unserved",
      priority: "HIGH",
      runAt,
      deadline,
      maxAttempts: 7,
      backoff: { initialMs: 1_500, maxMs: 9_000, multiplier: 3, jitter: 0 },
      timeoutMs: 1_250,
      retentionMs: 60_000,
      metadata: { traceparent: "00-1-2-01" },
    });
    const job = await handle.status();
    assert.equal(job.queue, "unserved");
    assert.equal(job.priority, "HIGH");
    assert.deepEqual(job.runAt, runAt);
    assert.deepEqual(job.deadline, deadline);
    assert.equal(job.maxAttempts, 7);
    assert.equal(job.timeoutMs, 1_250);
    assert.equal(job.retentionMs, 60_000);
    assert.deepEqual(job.metadata, { traceparent: "00-1-2-01" });
    await handle.cancel();
  });

  test("a submit under the same names is the same job", async () => {
    const requestId = crypto.randomUUID();
    const first = await client.submit("add", [1], { requestId });
    const again = await client.submit("add", [1], { requestId });
    assert.equal(again.jobId, first.jobId);
    assert.equal(again.submitted?.outcome, "REPEATED");
    await assert.rejects(client.submit("add", [2], { requestId }), AlreadyExists);
    const keyed = await client.submit("add", [3], { idempotencyKey: "three" });
    const joined = await client.submit("add", [3], { idempotencyKey: "three" });
    assert.equal(joined.jobId, keyed.jobId);
    assert.equal(joined.submitted?.outcome, "JOINED");
  });

  test("a failed job tells why, and can be run anew", async () => {
    const handle = await client.submit("fail", undefined, {
      maxAttempts: 2,
      backoff: { initialMs: 1 },
    });
    await assert.rejects(handle.result(), (error) => {
      assert.ok(error instanceof JobFailed);
      assert.equal(error.name, "JobFailed");
      assert.equal(error.job.failure?.reason, "EXHAUSTED");
      assert.match(
        error.message,
        /is FAILED \(EXHAUSTED\), attempt 2: ValueError: there is no way/,
      );
      return true;
    });
    const retried = await handle.retry();
    assert.equal((await retried.status()).retriedFrom, handle.jobId);
    assert.equal((await retried.wait()).state, "FAILED");
    const succeeded = await client.submit("add", []);
    await succeeded.wait();
    await assert.rejects(succeeded.retry(), FailedPrecondition);
  });

  test("a watch tells a whole life, in order, and can go on from a cursor", async () => {
    const handle = await client.submit("talk", { chunks: 5 });
    const whole: JobEvent<number>[] = [];
    for await (const event of handle.watch()) whole.push(event);
    assert.equal(whole[0]?.kind, "snapshot");
    assertTiling(whole);
    const chunks = whole.filter((event): event is ChunkEvent => event.kind === "chunk");
    assert.deepEqual(
      chunks.map(({ text }) => text),
      ["0", "1", "2", "3", "4"],
    );
    const last = whole.at(-1);
    assert.ok(last?.kind === "state" && last.terminal);
    assert.equal(last.job?.result, 5);
    assert.ok(whole.some((event) => event.kind === "progress" && event.progress.total === 5));

    const after = whole[3]?.lastSequence ?? 0;
    const rest: JobEvent[] = [];
    for await (const event of client.watch(handle.jobId, { after })) rest.push(event);
    assert.deepEqual(rest.slice(1), whole.slice(4));
  });

  test("a running job is asked to stop, and its watch ends", async () => {
    const handle = await client.submit("stay");
    const states: string[] = [];
    for await (const event of handle.watch()) {
      if (event.kind === "progress") await handle.cancel("go");
      if (event.kind === "state") states.push(event.state);
    }
    assert.deepEqual(states, ["QUEUED", "RUNNING", "CANCELLED"]);
  });

  test("a wait and a watch end when they are aborted, and the job goes on", async () => {
    const handle = await client.submit("stay");
    await assert.rejects(handle.wait({ timeoutMs: 50 }), (error) => {
      assert.ok(error instanceof WaitTimeout);
      assert.ok(!error.job?.done);
      return true;
    });
    const controller = new AbortController();
    const wait = handle.wait({ signal: controller.signal });
    const watch = handle.watch({ signal: controller.signal });
    const watching = (async () => {
      for await (const event of watch) if (event.kind === "progress") controller.abort();
    })();
    await assert.rejects(wait, { name: "AbortError" });
    await assert.rejects(watching, { name: "AbortError" });
    assert.ok(watch.closed);
    await assert.rejects(handle.status({ signal: controller.signal }), { name: "AbortError" });
    assert.equal((await handle.cancel()).state, "RUNNING");
    assert.equal((await handle.wait()).state, "CANCELLED");
  });

  test("leaving a loop early closes the watch", async () => {
    const handle = await client.submit("stay");
    const watch = handle.watch();
    for await (const event of watch) if (event.kind === "progress") break;
    assert.ok(watch.closed);
    assert.deepEqual(await watch.next(), { done: true, value: undefined });
    await handle.cancel();
  });

  test("many jobs are stored, each with its own outcome", async () => {
    const jobs = Array.from({ length: 2_500 }, (_, index) => ({
      type: "add" as const,
      payload: [index],
      queue: "batch",
      // One that the client refuses, and one that the gateway does.
      delayMs: index === 1_200 ? NaN : 3_600_000,
      maxAttempts: index === 7 ? -1 : 1,
    }));
    const handles = await client.submitMany(jobs);
    assert.equal(handles.length, jobs.length);
    for (const [index, handle] of handles.entries()) {
      if (index === 7 || index === 1_200) assert.ok(handle instanceof InvalidRequest, `${index}`);
      else assert.ok(handle instanceof JobHandle, `${index}`);
    }
    const listed = new Set<string>();
    for await (const job of client.list({
      queue: "batch",
      states: ["SCHEDULED"],
      pageSize: 1_000,
    })) {
      listed.add(job.jobId);
    }
    assert.equal(listed.size, jobs.length - 2);
    const stored = handles.find((each) => each instanceof JobHandle);
    assert.ok(stored && listed.has(stored.jobId));
  });

  test("there is no such job, or no such state", async () => {
    await assert.rejects(client.status("nothing"), StatusError);
    const gone = (await client.submit("add", [1])).jobId.replace(/.$/, (end) =>
      end === "0" ? "1" : "0",
    );
    await assert.rejects(client.status(gone), (error) => {
      assert.ok(error instanceof NotFound || error instanceof InvalidRequest);
      return true;
    });
    await assert.rejects(client.listPage({ states: ["LOST" as "FAILED"] }), InvalidRequest);
    await assert.rejects(
      client.submit("add", [], { priority: "URGENT" as "HIGH" }),
      InvalidRequest,
    );
  });

  test("a message is published once, to every subscription", async () => {
    interface Topics {
      "order.created": { number: number };
      "order.closed": { number: number };
    }
    using shop = new PenstockClient<Jobs, Topics>(stack.address);
    const messageId = crypto.randomUUID();
    const options = { messageId, source: "shop", priority: "HIGH", attempts: 5 } as const;
    const published = await shop.publish("order.created", { number: 17 }, options);
    assert.equal(published.messageId, messageId);
    assert.deepEqual(
      published.jobs.map(({ subscription, outcome }) => [subscription, outcome]),
      [
        ["bill", "CREATED"],
        ["ship", "CREATED"],
      ],
    );
    const [bill = "", ship = ""] = published.jobs.map(({ jobId }) => jobId);
    assert.deepEqual(await shop.result(bill), [17, "order.created", "shop"]);
    assert.equal(await shop.result(ship), 17);
    const job = await shop.status(ship);
    assert.equal(job.priority, "HIGH");
    assert.equal(job.maxAttempts, 5);
    assert.equal(job.message?.messageId, messageId);
    assert.equal(job.message.topic, "order.created");

    const again = await shop.publish("order.created", { number: 17 }, { messageId });
    assert.deepEqual(
      again.jobs.map(({ jobId, outcome }) => [jobId, outcome]),
      [
        [bill, "REPEATED"],
        [ship, "REPEATED"],
      ],
    );
    await assert.rejects(
      shop.publish("order.created", { number: 18 }, { messageId }),
      AlreadyExists,
    );
    assert.deepEqual((await any.publish("nobody.listens")).jobs, []);
    await assert.rejects(any.publish("order.closed", { number: "x" }), (error) => {
      assert.ok(error instanceof InvalidRequest);
      assert.match(error.violations[0]?.field ?? "", /number/);
      return true;
    });
    // @ts-expect-error: a wrong payload; it is refused here, before it is sent.
    await assert.rejects(shop.publish("order.closed", NaN, { time: new Date() }), InvalidRequest);
    await assert.rejects(any.publish("order.closed", {}, { delayMs: NaN }), InvalidRequest);
  });

  test("equal submits share a result, until it is invalidated", async () => {
    const submit = async (terms: number[], tags: string[] = []): Promise<string | undefined> => {
      const handle = await client.submit("add", terms, { cache: { ttlMs: 60_000, tags } });
      assert.equal(
        await handle.result(),
        terms.reduce((sum, term) => sum + term, 0),
      );
      return handle.submitted?.outcome;
    };
    const first = await client.submit("add", [8, 9], { cache: { ttlMs: 60_000 } });
    await first.result();
    const second = await client.submit("add", [8, 9], { cache: { ttlMs: 60_000 } });
    assert.equal(second.submitted?.outcome, "CACHED");
    assert.ok(second.submitted.resultContent, "the receipt tells the result along");
    assert.equal((await second.status()).cachedFrom, first.jobId);

    assert.equal(await submit([1, 1], ["ones"]), "CREATED");
    assert.equal(await submit([1, 1], ["ones"]), "CACHED");
    await client.invalidate([{ tag: "ones" }, { type: "add", payload: [2, 2] }]);
    assert.equal(await submit([1, 1], ["ones"]), "CREATED");
    assert.equal(await submit([8, 9]), "CACHED");
    await client.invalidate([{ type: "add", payload: [8, 9] }]);
    assert.equal(await submit([8, 9]), "CREATED");

    const keyed = { ttlMs: 60_000, key: "k" };
    await client.result(await client.addJobToQueue("add", [3], { cache: keyed }));
    const same = await client.submit("add", [4], { cache: keyed });
    assert.equal(await same.result(), 3);
    await client.invalidate([{ type: "add", key: "k" }]);
    const fresh = await client.submit("add", [4], { cache: { ...keyed, doNotCache: true } });
    assert.equal(await fresh.result(), 4);
    assert.equal(await submit([1, 1], ["ones"]), "CACHED");
    await client.invalidate([{ type: "add" }]);
    assert.equal(await submit([1, 1], ["ones"]), "CREATED");

    await assert.rejects(client.invalidate([]), InvalidRequest);
    await assert.rejects(client.submit("add", [1], { cache: { ttlMs: NaN } }), InvalidRequest);
    const both = { cache: { ttlMs: 1_000 }, idempotencyKey: "k" };
    await assert.rejects(client.submit("add", [1], both), InvalidRequest);
  });

  test("health is told per service", async () => {
    assert.equal(await client.health(), true);
    assert.equal(await client.health("penstock.v1.JobService"), true);
    await assert.rejects(client.health("no.such.Service"), NotFound);
    await eventually(() => any.health("liveness"), "the gateway lives");
  });
});

function assertTiling(events: readonly JobEvent[]): void {
  let expected = 1;
  for (const event of events) {
    assert.equal(event.firstSequence, expected, `a gap or a repetition before ${event.kind}`);
    expected = event.lastSequence + 1;
  }
}
