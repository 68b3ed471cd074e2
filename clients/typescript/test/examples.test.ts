/** The examples run, and the package holds what a program of its own needs. */

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, describe, test } from "node:test";

import { PenstockClient } from "@penstock/client";

import { Stack } from "./support/processes.js";
import { eventually } from "./support/waiting.js";

const PACKAGE = join(import.meta.dirname, "../..");
const EXAMPLES = join(import.meta.dirname, "../examples");

describe("examples", () => {
  let stack: Stack;

  before(async () => {
    stack = await Stack.start("examples.quickstart.app:app");
  });

  after(() => stack[Symbol.asyncDispose]());

  const environment = (): NodeJS.ProcessEnv => ({
    ...process.env,
    PENSTOCK_ADDRESS: stack.address,
    PORT: "0",
  });

  test("the first job prints its output and its result", () => {
    const options = { env: environment(), encoding: "utf8" } as const;
    const output = execFileSync(process.execPath, [join(EXAMPLES, "quickstart.js")], options);
    assert.equal(output, `${"Hello, world! ".repeat(3)}\ngreeted world 3 times\n`);
  });

  test("an operator sets up what recurs, and looks after the queue", () => {
    const options = { env: environment(), encoding: "utf8" } as const;
    const output = execFileSync(process.execPath, [join(EXAMPLES, "operate.js")], options);
    assert.match(output, /^next: 20.*Z\ngreeted world 1 times\n/);
    assert.match(output, /failed: 0/);
  });

  test("the producer accepts, refuses, and says so while there is no gateway", async () => {
    const server = spawn(process.execPath, [join(EXAMPLES, "producer.js")], {
      env: environment(),
      stdio: ["ignore", "pipe", "inherit"],
    });
    const ended = once(server, "exit");
    try {
      const [address] = (await once(createInterface(server.stdout), "line")) as [string];
      const post = (body: string): Promise<Response> => fetch(address, { method: "POST", body });

      const accepted = await post('{"name": "Ada", "times": 1}');
      assert.equal(accepted.status, 202);
      const { jobId } = (await accepted.json()) as { jobId: string };
      using client = new PenstockClient(stack.address);
      assert.equal(await client.result(jobId), "greeted Ada 1 times");
      assert.equal((await client.status(jobId)).priority, "HIGH");

      const refused = await post('{"name": 7}');
      assert.equal(refused.status, 400);
      const { violations } = (await refused.json()) as { violations: { field: string }[] };
      assert.equal(violations[0]?.field, "job.payload.data/name");
      assert.equal((await post("not JSON")).status, 400);

      await stack.endGateway("SIGKILL");
      const began = performance.now();
      assert.equal((await post('{"name": "Ada"}')).status, 503);
      assert.ok(performance.now() - began < 5_000);
      await stack.startGateway();
      const again = async (): Promise<boolean> => (await post('{"name": "Ada"}')).status === 202;
      await eventually(again, "the producer accepts again");
    } finally {
      server.kill();
      await ended;
    }
  });

  test("the package works outside of the checkout", () => {
    const folder = mkdtempSync(join(tmpdir(), "penstock-"));
    try {
      const pack = ["pack", "--silent", "--pack-destination", folder];
      execFileSync("npm", pack, { cwd: PACKAGE, stdio: ["ignore", "ignore", "inherit"] });
      const modules = join(folder, "node_modules");
      const unpacked = join(modules, "@penstock/client");
      mkdirSync(unpacked, { recursive: true });
      const [archive = ""] = readdirSync(folder).filter((name) => name.endsWith(".tgz"));
      execFileSync("tar", ["-xzf", archive, "--strip-components=1", "-C", unpacked], {
        cwd: folder,
      });
      assert.deepEqual(readdirSync(join(unpacked, "dist")).sort(), ["gen", "src"]);
      for (const scope of ["@grpc", "@bufbuild"]) {
        symlinkSync(join(PACKAGE, "node_modules", scope), join(modules, scope));
      }
      const program = join(folder, "program.mjs");
      writeFileSync(
        program,
        `import { PenstockClient } from "@penstock/client";
         console.log(await new PenstockClient().health());`,
      );
      const options = { env: environment(), encoding: "utf8" } as const;
      assert.equal(execFileSync(process.execPath, [program], options), "true\n");
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
