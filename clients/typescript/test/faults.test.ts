/** What a client makes of faults, one by one, told by a scripted gateway. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";

import { ServerCredentials, status } from "@grpc/grpc-js";
import {
  ClientClosed,
  CursorOutOfRange,
  DeadlineExceeded,
  Internal,
  JobHandle,
  NotFound,
  PenstockClient,
  ResourceExhausted,
  StatusError,
  Unavailable,
} from "@penstock/client";

import {
  chunk,
  hangs,
  refuses,
  results,
  retryInfo,
  ScriptedGateway,
  snapshot,
  stored,
  tells,
  terminal,
} from "./support/scripted.js";
import { eventually, Gate } from "./support/waiting.js";
import { JobState } from "../gen/penstock/v1/job.js";
import {
  StreamProgressResponse,
  SubmitOutcome,
  type SubmitResult,
} from "../gen/penstock/v1/job_service.js";

const BREAK = refuses(status.UNAVAILABLE);

async function sequencesOf(client: PenstockClient, after = 0): Promise<[number, number][]> {
  const ranges: [number, number][] = [];
  for await (const event of client.watch("job", { after })) {
    if (event.kind !== "snapshot") ranges.push([event.firstSequence, event.lastSequence]);
  }
  return ranges;
}

describe("submits", () => {
  test("are repeated under one request id, also beyond what gRPC repeats", async () => {
    await using gateway = await ScriptedGateway.start();
    using client = new PenstockClient(gateway.address);
    const failures = Array.from({ length: 6 }, () => () => BREAK);
    gateway.submit = [...failures, () => stored()];
    const handle = await client.submit("t", { a: 1 });
    assert.equal(handle.jobId, "job");
    assert.equal(gateway.submits.length, 7);
    assert.equal(new Set(gateway.submits.map(({ requestId }) => requestId)).size, 1);
    assert.match(gateway.submits[0]?.requestId ?? "", /^[\da-f-]{36}$/);
    assert.equal(handle.submitted?.requestId, gateway.submits[0]?.requestId);
  });

  test("wait as long as the gateway asks them to", async () => {
    await using gateway = await ScriptedGateway.start();
    using client = new PenstockClient(gateway.address);
    gateway.submit = [() => refuses(status.RESOURCE_EXHAUSTED, 300), () => stored()];
    const began = performance.now();
    await client.submit("t");
    assert.ok(performance.now() - began >= 295);
  });

  test("are not repeated where that is no use", async () => {
    await using gateway = await ScriptedGateway.start();
    using client = new PenstockClient(gateway.address);
    gateway.submit = [() => refuses(status.RESOURCE_EXHAUSTED)];
    await assert.rejects(client.submit("t"), ResourceExhausted);
    gateway.submit = [() => refuses(status.INTERNAL)];
    await assert.rejects(client.submit("t"), Internal);
    assert.equal(gateway.submits.length, 2);
  });

  test("tell why they failed, not only that the time is up", async () => {
    await using gateway = await ScriptedGateway.start();
    using client = new PenstockClient(gateway.address, { retryForMs: 500 });
    gateway.submit = [() => refuses(status.UNAVAILABLE, 10)];
    await assert.rejects(client.submit("t"), (error) => {
      assert.ok(error instanceof Unavailable);
      assert.equal(error.retryAfterMs, 10);
      assert.match(
        error.message,
        /^scripted\nWhether it took effect .+ requestId [\da-f-]{36} settles/,
      );
      return true;
    });
    assert.ok(gateway.submits.length > 1);
  });

  test("of a batch are repeated for those that a passing trouble kept out", async () => {
    await using gateway = await ScriptedGateway.start();
    using client = new PenstockClient(gateway.address);
    const receipt = (jobId: string): SubmitResult["outcome"] => {
      const durability = 0;
      const outcome = SubmitOutcome.CREATED;
      const result = undefined;
      return {
        $case: "job",
        value: { jobId, state: JobState.QUEUED, outcome, durability, result },
      };
    };
    const error = (code: status, retryAfterMs?: number): SubmitResult["outcome"] => {
      const details = retryAfterMs === undefined ? [] : [retryInfo(retryAfterMs)];
      return { $case: "error", value: { code, message: "scripted", details } };
    };
    gateway.submitMany = [
      () => results(receipt("a"), error(status.UNAVAILABLE, 1), error(status.NOT_FOUND)),
      () => results(receipt("b")),
    ];
    const [a, b, c] = await client.submitMany([{ type: "a" }, { type: "b" }, { type: "c" }]);
    assert.ok(a instanceof JobHandle && b instanceof JobHandle);
    assert.deepEqual([a.jobId, b.jobId], ["a", "b"]);
    assert.ok(c instanceof NotFound);
    assert.deepEqual(
      gateway.batches.map((batch) => batch.map(({ type }) => type)),
      [["a", "b", "c"], ["b"]],
    );
    assert.equal(gateway.batches[0]?.[1]?.requestId, gateway.batches[1]?.[0]?.requestId);
  });

  test("end when the client is closed", async () => {
    await using gateway = await ScriptedGateway.start();
    const client = new PenstockClient(gateway.address);
    gateway.submit = [() => BREAK];
    const submit = client.submit("t");
    await eventually(() => gateway.submits.length > 0, "the submit arrives");
    client.close();
    await assert.rejects(submit, ClientClosed);
    await assert.rejects(client.submit("t"), ClientClosed);
    client.close();
  });
});

describe("watches", () => {
  test("go on over breaks from their cursor, without gap or repetition", async () => {
    await using gateway = await ScriptedGateway.start();
    using client = new PenstockClient(gateway.address);
    gateway.watch = [
      tells([snapshot(), chunk(1), chunk(2)], BREAK),
      tells([snapshot(), chunk(3)]),
      tells([snapshot()], refuses(status.CANCELLED)),
      // One event is missing, one comes again, and a merged one begins before the cursor.
      tells([snapshot(), chunk(5)]),
      tells([snapshot(), chunk(2, 3), chunk(3, 5), terminal(6)]),
    ];
    assert.deepEqual(await sequencesOf(client), [
      [1, 1],
      [2, 2],
      [3, 3],
      [4, 5],
      [6, 6],
    ]);
    assert.deepEqual(
      gateway.watches.map(({ afterSequence }) => afterSequence),
      [0, 2, 3, 3, 3],
    );
  });

  test("go on where the gateway ends a stream with its cursor", async () => {
    await using gateway = await ScriptedGateway.start();
    using client = new PenstockClient(gateway.address);
    const end = StreamProgressResponse.fromPartial({
      event: { $case: "end", value: { reason: 2, cursor: 1 } },
    });
    gateway.watch = [tells([snapshot(), chunk(1), end]), tells([snapshot(), terminal(2)])];
    assert.deepEqual(await sequencesOf(client), [
      [1, 1],
      [2, 2],
    ]);
  });

  test("end at once for a job that had ended before the cursor", async () => {
    await using gateway = await ScriptedGateway.start();
    using client = new PenstockClient(gateway.address);
    const job = { jobId: "job", state: JobState.SUCCEEDED, lastSequence: 3 };
    const ended = StreamProgressResponse.fromPartial({ event: { $case: "snapshot", value: job } });
    gateway.watch = [tells([ended])];
    assert.deepEqual(await sequencesOf(client, 3), []);
  });

  test("give up on what no repetition mends", async () => {
    await using gateway = await ScriptedGateway.start();
    using client = new PenstockClient(gateway.address);
    gateway.watch = [tells([], refuses(status.NOT_FOUND)), tells([], refuses(status.OUT_OF_RANGE))];
    await assert.rejects(sequencesOf(client), NotFound);
    await assert.rejects(sequencesOf(client, 9), CursorOutOfRange);
    assert.equal(gateway.watches.length, 2);
  });

  test("give up once there was no gateway for too long", async () => {
    await using gateway = await ScriptedGateway.start();
    using client = new PenstockClient(gateway.address, { reconnectForMs: 400 });
    gateway.watch = [tells([snapshot()], BREAK)];
    await assert.rejects(sequencesOf(client), Unavailable);
    assert.ok(gateway.watches.length > 1);
  });

  test("end their call when they are closed, aborted, or left", async () => {
    await using gateway = await ScriptedGateway.start();
    const client = new PenstockClient(gateway.address);
    for (const way of ["close", "abort", "leave", "client"]) {
      const left = new Gate();
      gateway.watch = [hangs([snapshot(), chunk(1)], left.open)];
      const controller = new AbortController();
      const watch = client.watch("job", { signal: controller.signal });
      const reading = (async () => {
        for await (const event of watch) if (way === "leave" && event.kind === "chunk") return;
      })();
      await eventually(() => watch.cursor === 1, "the chunk arrives");
      if (way === "close") watch.close();
      if (way === "abort") controller.abort("enough");
      if (way === "client") client.close();
      if (way === "abort") await assert.rejects(reading, (reason) => reason === "enough");
      else if (way === "client") await assert.rejects(reading, ClientClosed);
      else await reading;
      await left.opened;
    }
  });
});

describe("calls", () => {
  test("end at their time, and when they are aborted", async () => {
    await using gateway = await ScriptedGateway.start();
    using client = new PenstockClient(gateway.address);
    gateway.submit = [() => undefined];
    await assert.rejects(client.submit("t", null, { rpcTimeoutMs: 200 }), (error) => {
      assert.ok(error instanceof DeadlineExceeded, String(error));
      assert.match(error.message, /^no answer from 127/);
      return true;
    });
    const signal = AbortSignal.timeout(200);
    await assert.rejects(client.submit("t", null, { signal }), { name: "TimeoutError" });
    gateway.submit = [() => BREAK];
    const controller = new AbortController();
    const submit = client.submit("t", null, { signal: controller.signal });
    await eventually(() => gateway.submits.length > 6, "the submit is repeated");
    controller.abort("enough");
    await assert.rejects(submit, (reason) => reason === "enough");
  });

  test("go over TLS, to whom they trust", async (context) => {
    const folder = mkdtempSync(join(tmpdir(), "penstock-"));
    const [certificate, key] = [join(folder, "certificate.pem"), join(folder, "key.pem")];
    const subject = ["-subj", "/CN=penstock", "-addext", "subjectAltName=DNS:localhost"];
    const request = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", ...subject];
    const made = spawnSync("openssl", [...request, "-out", certificate, "-keyout", key]);
    if (made.error) {
      context.skip("openssl not found: apt install openssl");
      return;
    }
    assert.equal(made.status, 0, String(made.stderr));
    const chain = readFileSync(certificate);
    const pair = { cert_chain: chain, private_key: readFileSync(key) };
    rmSync(folder, { recursive: true });
    await using gateway = await ScriptedGateway.start(ServerCredentials.createSsl(null, [pair]));
    gateway.submit = [() => stored()];
    // Not by its number: Node warns of names that are none.
    const address = gateway.address.replace("127.0.0.1", "localhost");
    using trusting = new PenstockClient(address, { tls: { rootCertificates: chain } });
    assert.equal(await trusting.addJobToQueue("t"), "job");
    using other = new PenstockClient(address, { tls: true, timeoutMs: 1_000 });
    await assert.rejects(other.submit("t"), StatusError);
  });
});
