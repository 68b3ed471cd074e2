/** Values on their way to the wire and back. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { InvalidRequest, PenstockClient, ResultMismatch } from "@penstock/client";

import { decode, encode, shown } from "../src/content.js";
import { jobOf } from "../src/from-wire.js";
import { nameOf } from "../src/names.js";
import { durationOf, specOf } from "../src/to-wire.js";
import { HoldReason, Job, JobState } from "../gen/penstock/v1/job.js";

const text = (data: Uint8Array): string => Buffer.from(data).toString();

describe("content", () => {
  test("is JSON, or bytes as they are", () => {
    assert.equal(text(encode({ a: [1, "é"] }).data), '{"a":[1,"é"]}');
    assert.equal(text(encode(undefined).data), "null");
    assert.equal(encode(new Uint8Array([1])).contentType, "application/octet-stream");
    assert.equal(encode(new Uint8Array([1]), "image/png").contentType, "image/png");
    assert.deepEqual(decode({ data: Buffer.from('{"a":1}'), contentType: "" }), { a: 1 });
    assert.deepEqual(
      decode({ data: Buffer.from("[]"), contentType: "Application/JSON; charset=utf-8" }),
      [],
    );
    assert.deepEqual(
      decode({ data: Buffer.from("x"), contentType: "text/plain" }),
      Buffer.from("x"),
    );
  });

  test("that JSON cannot hold is refused, never changed unseen", () => {
    const circle: Record<string, unknown> = {};
    circle["itself"] = circle;
    for (const payload of [NaN, { a: [Infinity] }, 1n, circle, () => 1, Symbol("s")]) {
      assert.throws(() => encode(payload), InvalidRequest);
    }
    assert.throws(() => encode({ a: 1 }, "image/png"), InvalidRequest);
  });

  test("that is labelled JSON and is none is told, and shown as bytes", () => {
    const content = { data: Buffer.from("{"), contentType: "" };
    assert.throws(() => decode(content), ResultMismatch);
    assert.equal(shown(content), content.data);
  });
});

describe("the wire", () => {
  test("has lengths of time to the microsecond", () => {
    assert.deepEqual(durationOf(1_250), { seconds: 1, nanos: 250_000_000 });
    assert.deepEqual(durationOf(0.0014), { seconds: 0, nanos: 1_000 });
    assert.deepEqual(durationOf(1_999.9999), { seconds: 2, nanos: 0 });
    assert.deepEqual(durationOf(-1_500), { seconds: -1, nanos: -500_000_000 });
  });

  test("has names where a job has them", () => {
    const message = { state: JobState.QUEUED, holdReason: HoldReason.TYPE_CONCURRENCY };
    assert.equal(jobOf(Job.fromPartial(message)).holdReason, "TYPE_CONCURRENCY");
    assert.equal(jobOf(Job.fromPartial({ state: JobState.QUEUED })).holdReason, undefined);
  });

  test("has a random request id for each submit", () => {
    const ids = new Set(Array.from({ length: 100 }, () => specOf("t", null, {}).requestId));
    assert.equal(ids.size, 100);
  });

  test("has names that this client may be too old for", () => {
    assert.equal(nameOf(JobState, 4), "SUCCEEDED");
    assert.equal(nameOf(JobState, 0), undefined);
    assert.throws(() => nameOf(JobState, 99), /too old/);
  });
});

describe("a client", () => {
  test("has the address that it is given, else the environment's, else the default", () => {
    const addressOf = (address?: string): string => {
      using client = new PenstockClient(address);
      return client.address;
    };
    delete process.env["PENSTOCK_ADDRESS"];
    assert.equal(addressOf(), "127.0.0.1:50051");
    process.env["PENSTOCK_ADDRESS"] = "dns:///gateway:1";
    assert.equal(addressOf(""), "dns:///gateway:1");
    assert.equal(addressOf("unix:/tmp/gateway"), "unix:/tmp/gateway");
    delete process.env["PENSTOCK_ADDRESS"];
  });
});
