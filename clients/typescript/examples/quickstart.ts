/** Submit a job, watch it, and print its result: run it beside `penstock dev`. */

import { PenstockClient } from "@penstock/client";

const client = new PenstockClient();
const job = await client.submit("greet", { name: "world" });
for await (const event of job.watch()) {
  if (event.kind === "chunk") process.stdout.write(event.text);
}
console.log();
console.log(await job.result());
client.close();
