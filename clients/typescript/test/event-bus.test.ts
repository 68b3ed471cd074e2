/** The shop in TypeScript, whose subscribers are in Python. */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, describe, test } from "node:test";

import { InvalidRequest, PenstockClient } from "@penstock/client";

import { EventBus, type Events, type PaymentCompleted } from "../examples/event-bus/bus.js";
import { ROOT, Stack } from "./support/processes.js";

const SHOP = join(import.meta.dirname, "../examples/event-bus/shop.js");
const ORDER = { order_id: "o-1", customer_id: "c", shop_id: "s", total_cents: 150 };

describe("the event bus of the shop", () => {
  let stack: Stack;
  let client: PenstockClient<never, Events>;
  let bus: EventBus;

  before(async () => {
    process.env["SHOP_LEDGER"] = join(mkdtempSync(join(tmpdir(), "shop-")), "ledger.sqlite3");
    stack = await Stack.start("examples.event_bus.handlers:app");
    client = new PenstockClient<never, Events>(stack.address);
    bus = new EventBus(client, "tests");
    // The shop in Python puts the rules of the bus down; this one sells nothing.
    const env = { ...process.env, PENSTOCK_ADDRESS: stack.address };
    const python = join(ROOT, ".venv/bin/python");
    execFileSync(python, ["-m", "examples.event_bus.shop", "python", "0"], { cwd: ROOT, env });
  });

  after(async () => {
    client.close();
    await stack[Symbol.asyncDispose]();
    rmSync(dirname(process.env["SHOP_LEDGER"] ?? ""), { recursive: true });
  });

  test("gives each subscriber a job of its own", async () => {
    const published = await bus.emit("order.created", ORDER, { eventId: "e-1" });
    const names = published.jobs.map(({ subscription }) => subscription);
    assert.deepEqual(names, ["order.history", "stock.reserve"]);
    for (const { jobId } of published.jobs) {
      assert.equal((await client.wait(jobId, { timeoutMs: 20_000 })).state, "SUCCEEDED");
    }
    const again = await bus.emit("order.created", ORDER, { eventId: "e-1" });
    assert.deepEqual(
      again.jobs.map(({ jobId }) => jobId),
      published.jobs.map(({ jobId }) => jobId),
    );
  });

  test("takes options for one event", async () => {
    const payment = { order_id: "o-1", cents: 150 };
    const options = { priority: "LOW", delayMs: 60_000, attempts: 7 } as const;
    const [job] = (await bus.emit("payment.completed", payment, options)).jobs;
    assert.ok(job);
    const { state, priority, maxAttempts } = await client.status(job.jobId);
    assert.deepEqual([state, priority, maxAttempts], ["SCHEDULED", "LOW", 7]);
    await client.cancel(job.jobId);
  });

  test("refuses what an event does not carry, twice", async () => {
    // @ts-expect-error: the amount is missing.
    const wrong: PaymentCompleted = { order_id: "o-1" };
    await assert.rejects(bus.emit("payment.completed", wrong), InvalidRequest);
  });

  test("sells from a process of its own", () => {
    const env = { ...process.env, PENSTOCK_ADDRESS: stack.address };
    execFileSync(process.execPath, [SHOP, "node", "3"], { env, stdio: "inherit" });
  });
});
