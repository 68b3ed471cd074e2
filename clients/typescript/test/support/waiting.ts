/** Waiting for a condition, instead of for a time. */

import { setTimeout as sleep } from "node:timers/promises";

const POLL_MS = 10;

/**
 * Calls a probe until it answers true.
 *
 * @param probe - an exception that it raises ends the wait.
 * @param description - what is waited for, as the failure will say.
 * @param withinMs - generous: it is reached only by a failing test.
 */
export async function eventually(
  probe: () => boolean | Promise<boolean>,
  description: string,
  withinMs = 10_000,
): Promise<void> {
  const giveUp = performance.now() + withinMs;
  while (!(await probe())) {
    if (performance.now() >= giveUp) {
      throw new Error(`not within ${withinMs} ms: ${description}`);
    }
    await sleep(POLL_MS);
  }
}

/** A promise that is settled from elsewhere: a gate in a test. */
export class Gate {
  readonly opened: Promise<void>;
  open: () => void = () => undefined;

  constructor() {
    this.opened = new Promise((resolve) => {
      this.open = resolve;
    });
  }
}
