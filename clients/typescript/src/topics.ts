/** Messages published to topics, of which every subscription gets a job of its own. */

import { PublishRequest, TopicServiceService } from "../gen/penstock/v1/topic_service.js";
import { encode } from "./content.js";
import { InvalidRequest } from "./errors.js";
import { submittedOf } from "./from-wire.js";
import type { Priority, Submitted } from "./job.js";
import { check } from "./new-job.js";
import { type CallOptions, type Rpc, settledBy } from "./rpc.js";
import { durationOf, newRequestId, priorityOf } from "./to-wire.js";

/** Any topic, any payload: of a client that was given no map of topics. */
export type AnyTopics = Record<string, unknown>;

/** The choices of a publish. Without them, subscription and rule of the topic say. */
export interface PublishOptions extends CallOptions {
  /** Names the message, over all topics, so that a publish can be repeated; random if not given. */
  readonly messageId?: string | undefined;
  /** Of the jobs. */
  readonly priority?: Priority | undefined;
  /** Until the jobs may run. */
  readonly delayMs?: number | undefined;
  /** Failed attempts after which a job is a dead letter, 1 to 100. */
  readonly attempts?: number | undefined;
  /** Who publishes it; up to 128 characters. */
  readonly source?: string | undefined;
  /** Of what the message tells; now if not given. */
  readonly time?: Date | undefined;
  /** Travels with each job. */
  readonly metadata?: Readonly<Record<string, string>> | undefined;
  /** Of a payload of bytes; application/octet-stream if not given. */
  readonly contentType?: string | undefined;
}

/** The arguments after the topic: a payload that may be undefined may be left out. */
export type PublishArguments<Payload> = undefined extends Payload
  ? [payload?: Payload, options?: PublishOptions]
  : [payload: Payload, options?: PublishOptions];

/** A subscription's job for a message. */
export interface PublishedJob extends Submitted {
  /** By name; it is the type of the job. */
  readonly subscription: string;
  /** Where the job waits. */
  readonly queue: string;
}

/** Receipt of a publish: every subscription that wanted the message has its job. */
export interface Published {
  /** Under which the publish may be repeated. */
  readonly messageId: string;
  readonly topic: string;
  /** By subscription; none if nobody wanted it. */
  readonly jobs: readonly PublishedJob[];
}

/** See PenstockClient.publish(). */
export async function publish(
  rpc: Rpc,
  topic: string,
  payload: unknown,
  options: PublishOptions,
): Promise<Published> {
  const request = requestOf(topic, payload, options);
  const call = rpc.call(TopicServiceService.publish, request, options);
  const answer = await settledBy(call, "messageId", request.messageId);
  const jobs = answer.jobs.map(({ subscription, queue, job }) => ({
    ...submittedOf(job, answer.messageId),
    subscription,
    queue,
  }));
  return { messageId: answer.messageId, topic, jobs };
}

function requestOf(topic: string, payload: unknown, options: PublishOptions): PublishRequest {
  const { attempts, delayMs, time } = options;
  check({ delayMs, maxAttempts: attempts }, "");
  if (time !== undefined && Number.isNaN(time.getTime())) {
    throw InvalidRequest.because({ field: "time", description: "it is no valid Date" });
  }
  return PublishRequest.fromPartial({
    topic,
    payload: encode(payload, options.contentType, "payload"),
    messageId: options.messageId ?? newRequestId(),
    source: options.source ?? "",
    time,
    priority: priorityOf(options.priority, "priority"),
    delay: delayMs === undefined ? undefined : durationOf(delayMs),
    maxAttempts: attempts ?? 0,
    metadata: options.metadata ?? {},
  });
}
