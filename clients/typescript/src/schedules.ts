/** Jobs that recur: schedules as a caller defines them, and as a gateway tells them. */

import {
  CatchUp_Policy,
  OverlapPolicy,
  type Schedule as WireSchedule,
  ScheduleServiceService,
} from "../gen/penstock/v1/schedule_service.js";
import { present, submittedOf } from "./from-wire.js";
import type { JobHandle } from "./handle.js";
import type { Submitted } from "./job.js";
import type { AnyJobs, JobTypeMap, NewJob } from "./job-types.js";
import type { NameOf } from "./names.js";
import { type CallOptions, type Rpc, settledBy } from "./rpc.js";
import { definitionOf, specOfSchedule, timingOf } from "./schedule-wire.js";
import { newRequestId } from "./to-wire.js";

/** What happens to an occurrence while the job that the schedule made last has not ended. */
export type Overlap = NameOf<typeof OverlapPolicy>;

/** What happens to occurrences that nobody could fire in time. */
export type CatchUp = NameOf<typeof CatchUp_Policy>;

/** When a schedule fires. Give either cron or everyMs. */
export interface Timing {
  /** An expression of five fields, or six with seconds first. */
  readonly cron?: string | undefined;
  /** That the expression is read in, an IANA name; UTC if not given. */
  readonly timeZone?: string | undefined;
  /** An interval from 1 s to 366 days, counted from startTime, else from the creation. */
  readonly everyMs?: number | undefined;
  /** Nothing occurs before it. */
  readonly startTime?: Date | undefined;
  /** Nothing occurs after it. */
  readonly endTime?: Date | undefined;
  /** Bound of the delay by which occurrences are spread. */
  readonly jitterMs?: number | undefined;
}

/** The definition of a schedule: a job, and when it recurs. */
export interface Schedule<Types = AnyJobs> extends Timing {
  /**
   * That each occurrence submits; without requestId, delayMs, runAt, deadline, idempotencyKey and
   * cache. It goes by its queue for good.
   */
  readonly job: NewJob<Types>;
  /** While the last job has not ended; SKIP if not given. */
  readonly overlap?: Overlap | undefined;
  /** On what was missed; LAST if not given. */
  readonly catchUp?: CatchUp | undefined;
  /** How many of the newest are caught up on with ALL, 1 to 1,000; 1,000 if not given. */
  readonly catchUpLimit?: number | undefined;
  /** How late an occurrence may fire without being missed; 60 s if not given. */
  readonly toleranceMs?: number | undefined;
  /** For people, up to 1 KiB. */
  readonly note?: string | undefined;
}

/** The fields of the contract that read otherwise here. */
type Reworded = "counts" | "spec";

/** A schedule as it stood when the gateway answered. */
export interface ScheduleInfo extends Readonly<Omit<WireSchedule, Reworded>> {
  /** Its definition; in a list, without the payload of its job. */
  readonly schedule: Schedule;
  /** Occurrences that became jobs. */
  readonly fired: number;
  /** Jobs made by hand. */
  readonly triggered: number;
  /** Occurrences left out by the overlap policy. */
  readonly skipped: number;
  /** Occurrences left out by the catch-up policy. */
  readonly missed: number;
  /** Whether the call that is answered made it; false for all other calls. */
  readonly created: boolean;
}

/** The options of create(). */
export interface CreateOptions extends CallOptions {
  /** Store it without firing, until resume(). */
  readonly paused?: boolean | undefined;
}

/** The options of update(). */
export interface UpdateOptions extends CallOptions {
  /** That is replaced; whichever there is, if not given. */
  readonly version?: number | undefined;
}

/** The options of calls that tell times. */
export interface TimesOptions extends CallOptions {
  /** How many, 1 to 100; 5 if not given. */
  readonly runTimes?: number | undefined;
}

/** Which schedules list() gives. */
export interface ListSchedulesOptions extends CallOptions {
  /** Of their jobs; all if not given. */
  readonly queue?: string | undefined;
}

/** The options of trigger(). */
export interface TriggerOptions extends CallOptions {
  /** As of a submit. */
  readonly requestId?: string | undefined;
}

/**
 * The schedules of a gateway; see PenstockClient.schedules.
 *
 * Every call may end with a StatusError, most likely NotFound. All may be repeated.
 */
export class Schedules<Types extends JobTypeMap<Types> = AnyJobs> {
  readonly #rpc: Rpc;
  readonly #handOut: (submitted: Submitted) => JobHandle;

  constructor(rpc: Rpc, handOut: (submitted: Submitted) => JobHandle) {
    this.#rpc = rpc;
    this.#handOut = handOut;
  }

  /**
   * Stores a schedule; one that is defined alike is answered as it stands.
   *
   * @param scheduleId - names it: 1 to 128 letters, digits, and . _ - between them.
   * @throws AlreadyExists: there is one of this id with another definition.
   * @throws InvalidRequest: a field breaks a rule; it would never fire, for one.
   * @throws FailedPrecondition: no worker ever registered the job's type.
   */
  async create(
    scheduleId: string,
    schedule: Schedule<Types>,
    options: CreateOptions = {},
  ): Promise<ScheduleInfo> {
    const { paused = false } = options;
    const request = { scheduleId, spec: specOfSchedule(untyped(schedule)), paused };
    const method = ScheduleServiceService.createSchedule;
    const answer = await this.#rpc.call(method, request, options);
    return infoOf(answer.schedule, answer.created);
  }

  /** A schedule as it stands. */
  async get(scheduleId: string, options: TimesOptions = {}): Promise<ScheduleInfo> {
    const request = { scheduleId, runTimes: options.runTimes ?? 0 };
    const answer = await this.#rpc.call(ScheduleServiceService.getSchedule, request, options);
    return infoOf(answer.schedule);
  }

  /** All schedules by id, without the payloads of their jobs, fetched page by page. */
  async *list(options: ListSchedulesOptions = {}): AsyncGenerator<ScheduleInfo, void, undefined> {
    const method = ScheduleServiceService.listSchedules;
    let pageToken = "";
    do {
      const request = { queue: options.queue ?? "", pageSize: 0, pageToken };
      const page = await this.#rpc.call(method, request, options);
      yield* page.schedules.map((each) => infoOf(each));
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
  }

  /**
   * Replaces the definition; counts, pause and last run stay.
   *
   * @throws FailedPrecondition: the version is another, or the queue of the job.
   */
  async update(
    scheduleId: string,
    schedule: Schedule<Types>,
    options: UpdateOptions = {},
  ): Promise<ScheduleInfo> {
    const { version = 0 } = options;
    const request = { scheduleId, spec: specOfSchedule(untyped(schedule)), version };
    const answer = await this.#rpc.call(ScheduleServiceService.updateSchedule, request, options);
    return infoOf(answer.schedule);
  }

  /** Stops firing; jobs that were made already go on. */
  async pause(scheduleId: string, options?: CallOptions): Promise<ScheduleInfo> {
    const method = ScheduleServiceService.pauseSchedule;
    return infoOf((await this.#rpc.call(method, { scheduleId }, options)).schedule);
  }

  /** Goes on with the next occurrence from now; what came due meanwhile is not made up for. */
  async resume(scheduleId: string, options?: CallOptions): Promise<ScheduleInfo> {
    const method = ScheduleServiceService.resumeSchedule;
    return infoOf((await this.#rpc.call(method, { scheduleId }, options)).schedule);
  }

  /** Forgets a schedule; its jobs stay. Tells whether there was one (still). */
  async delete(scheduleId: string, options?: CallOptions): Promise<boolean> {
    const method = ScheduleServiceService.deleteSchedule;
    return (await this.#rpc.call(method, { scheduleId }, options)).deleted;
  }

  /** Makes a job of a schedule now, beside its occurrences, also of a paused one. */
  async trigger(scheduleId: string, options: TriggerOptions = {}): Promise<JobHandle> {
    const requestId = options.requestId ?? newRequestId();
    const request = { scheduleId, requestId };
    const call = this.#rpc.call(ScheduleServiceService.triggerSchedule, request, options);
    const answer = await settledBy(call, "requestId", requestId);
    return this.#handOut(submittedOf(answer.job, requestId));
  }

  /** When a schedule would fire; fewer times than asked for if it ends before. Stores nothing. */
  async preview(timing: Timing, options: TimesOptions = {}): Promise<readonly Date[]> {
    const request = {
      timing: timingOf(timing),
      scheduleId: "",
      runTimes: options.runTimes ?? 0,
    };
    const method = ScheduleServiceService.previewSchedule;
    return (await this.#rpc.call(method, request, options)).runTimes;
  }
}

/** The compiler has held its job against the map of types; the wire knows of none. */
function untyped<Types>(schedule: Schedule<Types>): Schedule {
  const { job, ...rest } = schedule;
  return { ...rest, job };
}

function infoOf(message: WireSchedule | undefined, created = false): ScheduleInfo {
  const { counts, spec, ...rest } = present(message);
  const { fired = 0, triggered = 0, skipped = 0, missed = 0 } = counts ?? {};
  const schedule = definitionOf(present(spec));
  return { ...rest, schedule, fired, triggered, skipped, missed, created };
}
