/** Queues of a real gateway: counted, paused, purged, cleaned, redriven; and their workers. */

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { InvalidRequest, type JobHandle, NotFound, PenstockClient } from "@penstock/client";

import { Stack } from "./support/processes.js";
import { eventually } from "./support/waiting.js";

const LONG_MS = { timeoutMs: 30_000 };

describe("queues", () => {
  let stack: Stack;
  let client: PenstockClient;

  before(async () => {
    stack = await Stack.start();
    client = new PenstockClient(stack.address);
  });

  after(async () => {
    client.close();
    await stack[Symbol.asyncDispose]();
  });

  test("jobs are counted by state, and waiting ones by priority", async () => {
    const queue = "counted"; // Which no worker serves.
    const accepted = { queue, allowUnregistered: true };
    await client.submit("add", [1], { ...accepted, priority: "HIGH" });
    await client.submit("add", [1], accepted);
    await client.submit("add", [1], { ...accepted, delayMs: 3_600_000 });
    const stats = await client.queues.stats(queue);
    assert.deepEqual({ ...stats.waiting }, { high: 1, default: 1, low: 0 });
    assert.deepEqual([stats.scheduled, stats.running, stats.submitted], [1, 0, 3]);
    assert.ok((stats.oldestWaitingAgeMs ?? -1) >= 0);
    assert.equal(stats.queue.name, queue);
    assert.deepEqual([stats.durability, stats.durabilityReached], ["EVERYSEC", "EVERYSEC"]);
    assert.equal(stats.maxWaiting, 1_000_000);
    assert.deepEqual([stats.limits, stats.failedByReason], [[], {}]);
    const names = (await client.queues.list()).map(({ name }) => name);
    assert.ok(names.includes(queue));
    await assert.rejects(client.queues.stats("nowhere"), NotFound);
  });

  test("what waits is purged, step by step", async () => {
    const queue = "purged";
    const accepted = { queue, allowUnregistered: true };
    const handles: JobHandle[] = [];
    for (let each = 0; each < 3; each += 1) handles.push(await client.submit("add", [1], accepted));
    const told: number[] = [];
    const onProgress = (jobs: number): unknown => told.push(jobs);
    assert.equal(await client.queues.purge(queue, { onProgress }), 3);
    assert.equal(told.at(-1), 3);
    for (const handle of handles) assert.equal((await handle.status()).state, "CANCELLED");
    const { cancelled, oldestWaitingAgeMs } = await client.queues.stats(queue);
    assert.deepEqual([cancelled, oldestWaitingAgeMs], [3, undefined]);
    assert.equal(await client.queues.clean(queue, ["CANCELLED"], { olderThanMs: 3_600_000 }), 0);
    assert.equal(await client.queues.clean(queue, ["CANCELLED"], { type: "add" }), 3);
    await assert.rejects(client.queues.clean(queue, []), InvalidRequest);
    await assert.rejects(client.queues.clean(queue, ["QUEUED"]), InvalidRequest);
  });

  test("a queue is paused, and goes on", async () => {
    assert.equal((await client.queues.pause()).paused, true);
    const handle = await client.submit("add", [1, 2]);
    assert.equal((await handle.status()).state, "QUEUED");
    assert.equal((await client.queues.resume()).paused, false);
    assert.equal(await handle.result(LONG_MS), 3);
  });

  test("dead letters are run anew, once", async () => {
    const handle = await client.submit("fail", undefined, { maxAttempts: 1 });
    assert.equal((await handle.wait(LONG_MS)).state, "FAILED");
    const { failed, failedByReason } = await client.queues.stats();
    assert.deepEqual([failed, failedByReason], [1, { EXHAUSTED: 1 }]);
    assert.equal(await client.queues.redrive("default", { type: "add" }), 0);
    assert.equal(await client.queues.redrive("default"), 1);
    const again = async (): Promise<boolean> => (await client.queues.stats()).failed === 2;
    await eventually(again, "the new job has failed as well", 60_000);
  });

  test("workers are told with what they do", async () => {
    const [worker, ...others] = await client.queues.workers("default");
    assert.ok(worker);
    assert.deepEqual(others, []);
    assert.ok(worker.types.includes("add"));
    assert.deepEqual([worker.slots, worker.draining], [20, false]);
    assert.ok(worker.heartbeatTime instanceof Date);
    assert.deepEqual(await client.queues.workers("nowhere-served"), []);
  });
});
