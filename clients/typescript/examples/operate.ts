/** Sets up what recurs, and looks after a queue: what an operator's script does. */

import { PenstockClient } from "@penstock/client";

using client = new PenstockClient();

await client.schedules.create("nightly-hello", {
  job: { type: "greet", payload: { name: "world", times: 1 } },
  cron: "0 3 * * MON-FRI",
  timeZone: "Europe/Berlin",
  overlap: "QUEUE",
});
const [next] = (await client.schedules.get("nightly-hello")).nextRunTimes;
console.log(`next: ${next?.toISOString()}`);
const job = await client.schedules.trigger("nightly-hello");
console.log(await job.result());

const { waiting, failed, oldestWaitingAgeMs } = await client.queues.stats();
console.log({ waiting, failed, oldestWaitingAgeMs });
if (failed > 0) console.log(`${await client.queues.redrive("default")} run anew`);
