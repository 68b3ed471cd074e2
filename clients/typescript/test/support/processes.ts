/** A server, gateways and workers as processes of their own, to be killed. */

import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { createServer, type AddressInfo, connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { PenstockClient } from "@penstock/client";

import { eventually } from "./waiting.js";

/** Of the checkout, from where this is built to. */
export const ROOT = join(import.meta.dirname, "../../../../..");
const BIN = join(ROOT, ".venv/bin");
const START_MS = 30_000;

/** Starts processes on a server of its own; ends them all, however the test ends. */
export class Stack implements AsyncDisposable {
  readonly folder = mkdtempSync(join(tmpdir(), "penstock-"));
  readonly #processes: { process: ChildProcess; log: string }[] = [];
  readonly #redisUrl: string;
  #address = "";
  #gateway: ChildProcess | undefined;

  private constructor() {
    this.#redisUrl = `unix://${join(this.folder, "redis.sock")}`;
  }

  /** A server, a gateway and a worker of an app that are ready. */
  static async start(app = "tests.typescript.app:app"): Promise<Stack> {
    const stack = new Stack();
    try {
      await stack.#startServer();
      stack.#address = `127.0.0.1:${await freePort()}`;
      await stack.startGateway();
      await stack.#startWorker(app);
      return stack;
    } catch (error) {
      await stack[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Of the gateway, also while there is none. */
  get address(): string {
    return this.#address;
  }

  /** Starts the gateway (again), and returns once it serves. */
  async startGateway(settings: Record<string, string> = {}): Promise<void> {
    const process = this.#spawn(join(BIN, "penstock"), ["server"], {
      PENSTOCK_LISTEN: this.#address,
      PENSTOCK_SHUTDOWN_GRACE_S: "1",
      ...settings,
    });
    this.#gateway = process;
    const port = Number(this.#address.split(":")[1]);
    await this.#ready(process, "the gateway listens", () => accepts(port));
    using client = new PenstockClient(this.#address);
    await this.#ready(process, "the gateway is ready", () => client.health().catch(() => false));
  }

  /** Ends the gateway as a crash would, or gracefully. */
  async endGateway(signal: "SIGKILL" | "SIGTERM"): Promise<void> {
    if (this.#gateway !== undefined) await end(this.#gateway, signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // The server last: a worker hands its jobs back as it stops.
    for (const { process } of this.#processes.reverse()) await end(process, "SIGTERM");
    rmSync(this.folder, { recursive: true });
  }

  async #startServer(): Promise<void> {
    const find = "from penstock.runtime.embedded import find_binary; print(find_binary())";
    const options = { cwd: ROOT, encoding: "utf8" } as const;
    const binary = execFileSync(join(BIN, "python"), ["-c", find], options).trim();
    const socket = join(this.folder, "redis.sock");
    const settings = ["--port", "0", "--unixsocket", socket, "--dir", this.folder, "--save", ""];
    const process = this.#spawn(binary, [...settings, "--appendonly", "yes"], {});
    await this.#ready(process, "the server listens", () => accepts(socket));
  }

  async #startWorker(app: string): Promise<void> {
    const process = this.#spawn(join(BIN, "penstock"), ["worker", app], {
      PENSTOCK_DRAIN_GRACE_S: "0",
    });
    const log = this.#logOf(process);
    await this.#ready(process, "the worker starts", () => log().includes("worker started"));
  }

  #spawn(command: string, args: string[], environment: Record<string, string>): ChildProcess {
    const log = join(this.folder, `process-${this.#processes.length}.log`);
    const file = openSync(log, "w");
    const started = spawn(command, args, {
      cwd: ROOT,
      env: { ...process.env, PENSTOCK_REDIS_URL: this.#redisUrl, ...environment },
      stdio: ["ignore", file, file],
    });
    closeSync(file);
    this.#processes.push({ process: started, log });
    return started;
  }

  async #ready(
    process: ChildProcess,
    description: string,
    probe: () => boolean | Promise<boolean>,
  ): Promise<void> {
    const log = this.#logOf(process);
    await eventually(
      async () => {
        if (process.exitCode !== null) throw new Error(`not ${description}: ${log()}`);
        return probe();
      },
      description,
      START_MS,
    );
  }

  #logOf(process: ChildProcess): () => string {
    const found = this.#processes.find((each) => each.process === process);
    return () => (found ? readFileSync(found.log, "utf8") : "");
  }
}

/** A loopback port that nobody listens on. */
export async function freePort(): Promise<number> {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, "close");
  return port;
}

async function end(process: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (process.exitCode !== null || process.signalCode !== null) return;
  const ended = once(process, "exit");
  process.kill(signal);
  await ended;
}

function accepts(where: number | string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = typeof where === "number" ? connect(where, "127.0.0.1") : connect(where);
    const answer = (accepted: boolean) => () => {
      probe.destroy();
      resolve(accepted);
    };
    probe.once("connect", answer(true)).once("error", answer(false));
  });
}
