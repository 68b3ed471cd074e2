/** The way into the queue of expert-os: the twin of `examples/expert_os/producer.py`. */

import { type JobType, PenstockClient, type SubmitOptions } from "@penstock/client";

const QUEUE = "expert-os-tasks";

/** A document to be read; it is in the store already. */
export interface ProcessDocument {
  document_id: string;
  format: "pdf" | "html" | "markdown";
  name?: string;
}

/** What is in a document. */
export interface DocumentReport {
  title: string;
  pages: number;
  empty_pages: number;
  words: number;
  distinct_words: number;
  sentences: number;
  characters: number;
  reading_minutes: number;
  key_terms: { term: string; count: number }[];
}

/** A text to be written. */
export interface GenerateContent {
  prompt: string;
  max_tokens?: number;
}

/** What was written; its tokens have gone out one by one before. */
export interface GeneratedContent {
  text: string;
  tokens: number;
  model: string;
  finish_reason: "stop" | "length";
}

/** Every type of task: what it takes, and what it gives. */
export interface Tasks {
  PROCESS_DOCUMENT: JobType<ProcessDocument, DocumentReport>;
  GENERATE_CONTENT: JobType<GenerateContent, GeneratedContent>;
}

export type TaskType = keyof Tasks;

/**
 * The client of this process. A visitor waits no longer than a second for a gateway that is away, and
 * none needs to be there for the site to start.
 */
export const client = new PenstockClient<Tasks>(undefined, { timeoutMs: 3_000, retryForMs: 1_000 });

/**
 * Stores a task to be done, and answers with the id of its job.
 *
 * Data of another type does not compile; the gateway refuses it, too, by the schema that the workers
 * published.
 *
 * @param options - `requestId` names the request: a repetition is the same job.
 * @throws StatusError: it is refused, or cannot be stored now.
 */
export function addJobToQueue<T extends TaskType>(
  type: T,
  data: Tasks[T]["payload"],
  options: Pick<SubmitOptions, "requestId"> = {},
): Promise<string> {
  return client.addJobToQueue(type, data, { ...options, queue: QUEUE });
}
