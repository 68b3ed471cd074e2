/** An instance of the shop in TypeScript: `node shop.js NAME ORDERS`. */

import { PenstockClient } from "@penstock/client";

import { EventBus, type Events } from "./bus.js";

const [name = "shop", orders = "1"] = process.argv.slice(2);
const client = new PenstockClient<never, Events>();
const bus = new EventBus(client, name);
for (let number = 0; number < Number(orders); number += 1) {
  const order_id = `${name}-${number}`;
  const order = { order_id, customer_id: "c-7", shop_id: "s-1", total_cents: 1990 };
  await bus.emit("order.created", order, { eventId: `order.created ${order_id}` });
  await bus.emit("payment.completed", { order_id, cents: 1990 }, { priority: "HIGH" });
}
client.close();
