/** A gateway is killed and comes back: nobody but the clock notices. */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";

import { type JobEvent, PenstockClient, Unavailable } from "@penstock/client";

import { freePort, Stack } from "./support/processes.js";
import { eventually } from "./support/waiting.js";

const KILLS = 3;
const SUBMITTERS = 4;
const CHUNKS = 40;

describe("restarts", () => {
  let stack: Stack;

  before(async () => {
    stack = await Stack.start();
  });

  after(() => stack[Symbol.asyncDispose]());

  test("submits over a gateway that is killed again and again", async () => {
    using client = new PenstockClient(stack.address, { timeoutMs: 60_000 });
    const jobIds: string[] = [];
    let killing = true;
    const submitAll = async (): Promise<void> => {
      while (killing) {
        jobIds.push(await client.addJobToQueue("add", [jobIds.length], { queue: "unserved" }));
      }
    };
    const fiftyMore = async (): Promise<void> => {
      const enough = jobIds.length + 50;
      await eventually(() => jobIds.length >= enough, "jobs are submitted", 30_000);
    };

    const submitters = Array.from({ length: SUBMITTERS }, submitAll);
    for (let kill = 0; kill < KILLS; kill += 1) {
      await fiftyMore();
      await stack.endGateway("SIGKILL");
      await stack.startGateway();
    }
    await fiftyMore();
    killing = false;
    await Promise.all(submitters);

    const stored: string[] = [];
    for await (const job of client.list({ queue: "unserved" })) stored.push(job.jobId);
    // Each submit that returned is one job, and there is no other.
    assert.deepEqual(stored.sort(), jobIds.sort());
  });

  test("a watch and a wait over a gateway that is killed, and stopped", async () => {
    using client = new PenstockClient(stack.address);
    const gates = Object.fromEntries(
      [10, 20, 30].map((number) => [number, join(stack.folder, `gate-${number}`)]),
    );
    const handle = await client.submit("talk", { chunks: CHUNKS, gates });
    const events: JobEvent[] = [];
    const watching = (async () => {
      for await (const event of handle.watch()) events.push(event);
    })();
    const waiting = handle.result();
    const said = (): string[] =>
      events.flatMap((event) => (event.kind === "chunk" ? [event.text] : []));

    for (const [gate, signal] of [
      [10, "SIGKILL"],
      [20, "SIGTERM"],
      [30, "SIGKILL"],
    ] as const) {
      await eventually(() => said().length === gate, `${gate} chunks are seen`, 30_000);
      await stack.endGateway(signal);
      writeFileSync(gates[gate] ?? "", ""); // The job goes on while there is no gateway.
      await stack.startGateway();
    }
    await watching;
    assert.equal(await waiting, CHUNKS);

    assert.deepEqual(
      said(),
      Array.from({ length: CHUNKS }, (_, number) => String(number)),
    );
    let expected = 1;
    for (const event of events) {
      assert.equal(event.firstSequence, expected, `a gap or a repetition before ${event.kind}`);
      expected = event.lastSequence + 1;
    }
    const last = events.at(-1);
    assert.ok(last?.kind === "state" && last.state === "SUCCEEDED");
  });

  test("a watch goes on from its cursor where streams end themselves", async () => {
    await stack.endGateway("SIGTERM");
    await stack.startGateway({ PENSTOCK_STREAM_MAX_AGE_S: "0.2" });
    using client = new PenstockClient(stack.address);
    const gate = join(stack.folder, "gate");
    const handle = await client.submit("talk", { chunks: 4, gates: { 2: gate } });
    const chunks: string[] = [];
    let snapshots = 0;
    const began = performance.now();
    const opener = eventually(() => performance.now() - began > 1_000, "streams grow old").then(
      () => {
        writeFileSync(gate, "");
      },
    );
    for await (const event of handle.watch()) {
      if (event.kind === "chunk") chunks.push(event.text);
      if (event.kind === "snapshot") snapshots += 1;
    }
    await opener;
    assert.deepEqual(chunks, ["0", "1", "2", "3"]);
    assert.equal(snapshots, 1);
  });

  test("without a gateway there is a clear answer, in time", async () => {
    const address = `127.0.0.1:${await freePort()}`;
    using client = new PenstockClient(address, { timeoutMs: 10_000, retryForMs: 300 });
    const began = performance.now();
    await assert.rejects(client.submit("add", [1]), (error) => {
      assert.ok(error instanceof Unavailable);
      assert.match(error.message, new RegExp(`^no gateway answers at ${address} \\(.+\\). Is it`));
      return true;
    });
    assert.ok(performance.now() - began < 5_000);
    await assert.rejects(client.health(), Unavailable);
    await assert.rejects(client.wait("x", { signal: AbortSignal.timeout(200) }), {
      name: "TimeoutError",
    });
  });

  test("a process with an open client ends by itself", async () => {
    const program = `
      import { PenstockClient } from "@penstock/client";
      const client = new PenstockClient();
      console.log(await client.result(await client.addJobToQueue("add", [1, 2])));
    `;
    const child = spawn(process.execPath, ["--input-type=module", "--eval", program], {
      cwd: join(import.meta.dirname, "../.."),
      env: { ...process.env, PENSTOCK_ADDRESS: stack.address },
      stdio: ["ignore", "pipe", "inherit"],
    });
    let output = "";
    child.stdout.on("data", (data: Buffer) => (output += data.toString()));
    const [code] = (await once(child, "close")) as [number];
    assert.equal(code, 0);
    assert.equal(output, "3\n");
  });
});
