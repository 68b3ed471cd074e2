/** The types of jobs that a program submits, as a map that the compiler knows. */

import type { JobOptions } from "./new-job.js";
import type { CallOptions } from "./rpc.js";

/**
 * What a job type takes and returns.
 *
 * Types are a promise between programs, checked when they are compiled. When they run, the gateway
 * checks each payload against the schema that the workers published.
 */
export interface JobType<Payload = unknown, Result = unknown> {
  readonly payload: Payload;
  readonly result: Result;
}

/** A map from names of job types to what they take and return. */
export type JobTypeMap<Types> = { readonly [Name in keyof Types]: JobType };

/** Any type, any payload: of a client that was given no map. */
export type AnyJobs = Record<string, JobType>;

/** The names in a map. */
export type NamesOf<Types> = keyof Types & string;

/** The options of a submit, and of the call that makes it. */
export type SubmitOptions = JobOptions & CallOptions;

/** The arguments after the type: a payload that may be undefined may be left out. */
export type SubmitArguments<Payload> = undefined extends Payload
  ? [payload?: Payload, options?: SubmitOptions]
  : [payload: Payload, options?: SubmitOptions];

type WithPayload<Payload> = undefined extends Payload
  ? { readonly payload?: Payload }
  : { readonly payload: Payload };

/** A job for submitMany(): its type, its payload, and options. */
export type NewJob<Types = AnyJobs> = {
  [Name in NamesOf<Types>]: JobOptions & { readonly type: Name } & (Types[Name] extends JobType
      ? WithPayload<Types[Name]["payload"]>
      : never);
}[NamesOf<Types>];
