/** The result cache: how a submit uses it, and what is forgotten. */

import {
  CacheServiceService,
  CacheTarget as WireTarget,
} from "../gen/penstock/v1/cache_service.js";
import { encode } from "./content.js";
import type { CallOptions, Rpc } from "./rpc.js";

/**
 * Lets a submit be answered by an earlier, equal one: of the same queue, type and key.
 *
 * While that job is under way, it is the answer (JOINED); for the time to live after it succeeded,
 * the answer is a job that is SUCCEEDED from the start, with a copy of the result (CACHED). Else a
 * job runs.
 */
export interface CachePolicy {
  /** How long a result stands for equal submits; from 1 s to 366 days. */
  readonly ttlMs: number;
  /**
   * Names the work within its type, up to 256 characters. If not given, its payload does: of JSON,
   * the order of keys and the space between tokens make no difference.
   */
  readonly key?: string | undefined;
  /** By which results are invalidated; up to 16. Give equal submits equal tags. */
  readonly tags?: readonly string[] | undefined;
  /** Look nothing up, run, and replace what is cached. */
  readonly skipCache?: boolean | undefined;
  /** Take what is there, but do not keep the result for others. */
  readonly doNotCache?: boolean | undefined;
}

/** Results to forget: with a tag, of a type, or of one piece of work in a type. */
export type CacheTarget =
  | { readonly tag: string }
  | { readonly type: string }
  | { readonly type: string; readonly key: string }
  | { readonly type: string; readonly payload: unknown };

/** See PenstockClient.invalidate(). */
export async function invalidate(
  rpc: Rpc,
  targets: readonly CacheTarget[],
  options?: CallOptions,
): Promise<void> {
  const request = { targets: targets.map(targetOf) };
  await rpc.call(CacheServiceService.invalidateCache, request, options);
}

function targetOf(target: CacheTarget): WireTarget {
  if ("tag" in target) return { target: { $case: "tag", value: target.tag } };
  const { type } = target;
  if ("key" in target) {
    const work = { $case: "key", value: target.key } as const;
    return { target: { $case: "entry", value: { type, work } } };
  }
  if ("payload" in target) {
    const work = { $case: "payload", value: encode(target.payload) } as const;
    return { target: { $case: "entry", value: { type, work } } };
  }
  return { target: { $case: "type", value: type } };
}
