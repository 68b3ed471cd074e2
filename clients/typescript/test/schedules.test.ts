/** Schedules of a real gateway: defined, told, changed, fired by those who keep house. */

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import {
  AlreadyExists,
  FailedPrecondition,
  InvalidRequest,
  type JobType,
  type NewJob,
  NotFound,
  PenstockClient,
  type Schedule,
} from "@penstock/client";

import { Stack } from "./support/processes.js";
import { eventually } from "./support/waiting.js";

interface Jobs {
  add: JobType<number[], number>;
  stay: JobType<undefined, null>;
}

const ADD: NewJob<Jobs> = { type: "add", payload: [2, 3] };

const NIGHTLY: Schedule<Jobs> = {
  job: { type: "add", payload: [1, 2], maxAttempts: 5, backoff: { initialMs: 500 } },
  cron: "30 6 * * MON-FRI",
  timeZone: "Europe/Berlin",
  overlap: "CANCEL_RUNNING",
  catchUp: "ALL",
  catchUpLimit: 7,
  toleranceMs: 90_000,
  note: "before the shop opens",
};

describe("schedules", () => {
  let stack: Stack;
  let client: PenstockClient<Jobs>;

  before(async () => {
    stack = await Stack.start();
    client = new PenstockClient<Jobs>(stack.address);
  });

  after(async () => {
    client.close();
    await stack[Symbol.asyncDispose]();
  });

  test("a definition is told as it was given", async () => {
    const { schedules } = client;
    const made = await schedules.create("nightly", NIGHTLY, { paused: true });
    assert.deepEqual([made.created, made.paused, made.version], [true, true, 1]);
    const { schedule, scheduleId } = await schedules.get("nightly");
    assert.equal(scheduleId, "nightly");
    const { job, ...rest } = schedule;
    for (const [name, value] of Object.entries(rest)) {
      assert.deepEqual(value, NIGHTLY[name as keyof typeof rest], name);
    }
    const { type, payload, maxAttempts, backoff } = job;
    assert.deepEqual([type, payload, maxAttempts], ["add", [1, 2], 5]);
    assert.equal(backoff?.initialMs, 500);
    assert.equal((await schedules.create("nightly", NIGHTLY, { paused: true })).created, false);
    await assert.rejects(schedules.create("nightly", { ...NIGHTLY, note: "" }), AlreadyExists);
    // What was told can be given back.
    using any = new PenstockClient(stack.address);
    const same = await any.schedules.update("nightly", schedule);
    assert.equal(same.schedule.note, NIGHTLY.note);
  });

  test("it is changed, paused, resumed and deleted", async () => {
    const { schedules } = client;
    const yearly = { job: ADD, cron: "0 0 1 1 *" };
    const { version } = await schedules.create("yearly", yearly);
    const end = new Date(Date.now() + 3_600_000);
    const hourly = { job: ADD, everyMs: 1_800_000, endTime: end };
    const changed = await schedules.update("yearly", hourly, { version });
    assert.equal(changed.schedule.everyMs, 1_800_000);
    assert.equal(changed.schedule.cron, undefined);
    assert.deepEqual(changed.schedule.endTime, end);
    await assert.rejects(schedules.update("yearly", yearly, { version }), FailedPrecondition);
    assert.deepEqual((await schedules.pause("yearly")).nextRunTimes, []);
    assert.equal((await schedules.resume("yearly")).paused, false);
    assert.ok((await schedules.get("yearly", { runTimes: 1 })).nextRunTimes[0] instanceof Date);
    assert.equal(await schedules.delete("yearly"), true);
    assert.equal(await schedules.delete("yearly"), false);
    await assert.rejects(schedules.get("yearly"), NotFound);
  });

  test("occurrences and triggers become jobs", async () => {
    const { schedules } = client;
    await schedules.create("often", { job: ADD, everyMs: 1_000, overlap: "ALLOW" });
    const fired = async (): Promise<boolean> => (await schedules.get("often")).fired > 0;
    await eventually(fired, "an occurrence is fired", 60_000);
    await schedules.pause("often");
    const { lastJobId } = await schedules.get("often");
    assert.equal((await client.wait(lastJobId, { timeoutMs: 30_000 })).result, 5);
    const by = await schedules.trigger("often", { requestId: "by hand" });
    assert.equal(await by.result({ timeoutMs: 30_000 }), 5);
    assert.equal((await by.status()).scheduleId, "often");
    assert.equal((await schedules.trigger("often", { requestId: "by hand" })).jobId, by.jobId);
    assert.equal((await schedules.get("often")).triggered, 1);
    const listed = [];
    for await (const each of schedules.list({ queue: "default" })) listed.push(each);
    assert.ok(listed.some(({ scheduleId }) => scheduleId === "often"));
    await schedules.delete("often");
  });

  test("times are previewed", async () => {
    const startTime = new Date("2030-01-01T00:00:00Z");
    const times = await client.schedules.preview(
      { cron: "0 12 * * *", timeZone: "America/New_York", startTime },
      { runTimes: 2 },
    );
    assert.deepEqual(times, [new Date("2030-01-01T17:00:00Z"), new Date("2030-01-02T17:00:00Z")]);
  });

  test("what the wire cannot say is refused here, and the rest there", async () => {
    const { schedules } = client;
    const job = ADD;
    const fieldsOf = async (schedule: Schedule<Jobs>): Promise<string[]> => {
      try {
        await schedules.create("wrong", schedule);
      } catch (error) {
        assert.ok(error instanceof InvalidRequest);
        return error.violations.map(({ field }) => field);
      }
      assert.fail("it was accepted");
    };
    assert.deepEqual(await fieldsOf({ job }), ["spec.timing"]);
    assert.deepEqual(await fieldsOf({ job, cron: "* * * * *", everyMs: 1_000 }), ["spec.timing"]);
    assert.deepEqual(await fieldsOf({ job, everyMs: Number.NaN }), ["spec.timing.everyMs"]);
    assert.deepEqual(await fieldsOf({ job, everyMs: 1_000, endTime: new Date("never") }), [
      "spec.timing.endTime",
    ]);
    assert.deepEqual(await fieldsOf({ job, cron: "0 0 30 2 *" }), ["spec.timing.cron.expression"]);
    // @ts-expect-error: there is no such policy.
    assert.deepEqual(await fieldsOf({ job, everyMs: 1_000, overlap: "NEVER" }), ["spec.overlap"]);
    // @ts-expect-error: the map of types knows what `add` takes.
    const wrong: Schedule<Jobs> = { job: { type: "add", payload: "x" }, everyMs: 1_000 };
    assert.match((await fieldsOf(wrong)).join(), /payload/);
    await assert.rejects(schedules.get("wrong"), NotFound);
  });
});
