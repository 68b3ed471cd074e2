/** The way onto the bus of the shop: the twin of `examples/event_bus/bus.py`. */

import { PenstockClient, type Published, type PublishOptions } from "@penstock/client";

/** Somebody ordered something. */
export interface OrderCreated {
  order_id: string;
  customer_id: string;
  shop_id: string;
  total_cents: number;
}

/** An order went on. */
export interface OrderStatusChanged {
  order_id: string;
  previous_status: string;
  new_status: string;
  changed_by: string;
}

/** Somebody paid. */
export interface PaymentCompleted {
  order_id: string;
  cents: number;
}

/** Somebody is to be told. */
export interface NotificationSend {
  to: string;
  text: string;
}

/** Something is to be counted. */
export interface AnalyticsTrack {
  what: string;
}

/** Every event, and what it carries. */
export interface Events {
  "order.created": OrderCreated;
  "order.status_changed": OrderStatusChanged;
  "payment.completed": PaymentCompleted;
  "notification.send": NotificationSend;
  "analytics.track": AnalyticsTrack;
}

/** What one emit may choose for itself. */
export type EmitOptions = Pick<PublishOptions, "priority" | "delayMs" | "attempts"> & {
  /** Makes a repeated emit harmless; one is drawn for this call's own retries, if not given. */
  readonly eventId?: string;
};

/** Emits events. A payload of another event's type does not compile; the gateway refuses it, too. */
export class EventBus {
  readonly #client: PenstockClient<never, Events>;
  readonly #source: string;

  /**
   * @param client - of a gateway.
   * @param source - who emits them, such as the name of a service.
   */
  constructor(client: PenstockClient<never, Events>, source: string) {
    this.#client = client;
    this.#source = source;
  }

  /**
   * Returns once every subscriber's job is stored.
   *
   * @throws StatusError: it is refused, or cannot be stored now.
   */
  emit<Name extends keyof Events>(
    event: Name,
    payload: Events[Name],
    { eventId, ...options }: EmitOptions = {},
  ): Promise<Published> {
    const envelope = { source: this.#source, messageId: eventId };
    return this.#client.publish(event, payload, { ...options, ...envelope });
  }
}
