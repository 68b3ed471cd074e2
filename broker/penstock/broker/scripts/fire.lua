#!lua
-- Take one step of a schedule: fire an occurrence or leave it out, and wait for the next.
-- Makes a job: -> QUEUED
--
-- Guarantees: each occurrence is dealt with once, by whoever comes first with what the schedule waits
-- for and its version; job, counts and the next occurrence change together. The job's id is derived
-- from schedule and occurrence, so that even a server that forgot the step makes no second one.
--
-- KEYS  1 slot
-- ARGV  1 schedule  2 version  3 occurrence that it waits for (ms)
--       4 occurrence to fire (ms), or '': only move on  5 id of its job
--       6 next occurrence (ms) or ''  7 when to look at that (ms)
--       8 occurrences missed  9 occurrences skipped
--       10 policy of overlap: 'skip' | 'queue' | 'cancel' | 'allow'
--       11 when to look again (ms) if it has to wait  12 reason of a cancel
--       13... what a policy says of the job: name, value, ...
-- Returns {'fired', job cancelled, its worker or '', ...} | {'moved'} | {'skipped'}
--         {'held'}: it waits for the end of a job
--         {'passed'}: somebody else was first, or the schedule was changed
--#include lib/slot.lua
--#include lib/events.lua
--#include lib/queue.lua
--#include lib/finish.lua
--#include lib/cancel.lua
--#include lib/store.lua
--#include lib/schedule.lua
--#include lib/make_job.lua
local id, key, now = ARGV[1], schedule_key(ARGV[1]), now_ms()
local overlap = ARGV[10]
local is_read, schedule = pcall(schedule_fields, id, 'v', 'nx', 'lj', 'lo')
if not is_read then schedule = {} end
if schedule.v ~= ARGV[2] or schedule.nx ~= ARGV[3] then
  -- What stands in the set without a schedule that waits is stale, also where a foreign key is.
  if not schedule.nx then redis.call('ZREM', schedules_key, id) end
  return {'passed'}
end

-- The last job, and, where that was made by hand, the one of the last occurrence.
local fires, alive = ARGV[4] ~= '', {}
for _, job in ipairs({schedule.lj, schedule.lo}) do
  local other = fires and job and job ~= ARGV[5] and job ~= alive[1]
  local state = other and redis.pcall('HGET', record_key(job), 's')
  if state == 'S' or state == 'Q' or state == 'R' then alive[#alive + 1] = job end
end
redis.call('HSET', key, 'lt', now)
if #alive > 0 and overlap == 'queue' then
  redis.call('ZADD', schedules_key, ARGV[11], id)
  return {'held'}
end

local answer = {'moved'}
if #alive > 0 and overlap == 'skip' then
  redis.call('HINCRBY', key, 'ns', 1)
  answer = {'skipped'}
elseif fires then
  local _, made = make_job(id, ARGV[5], now, ARGV[4], 13)
  if made then redis.call('HINCRBY', key, 'nf', 1) end
  redis.call('HSET', key, 'lo', ARGV[5])
  answer = {'fired'}
  for _, job in ipairs(overlap == 'cancel' and alive or {}) do
    local _, worker = cancel(job, ARGV[12])
    answer[#answer + 1] = job
    answer[#answer + 1] = worker
  end
end
if ARGV[8] ~= '0' then redis.call('HINCRBY', key, 'nm', ARGV[8]) end
if ARGV[9] ~= '0' then redis.call('HINCRBY', key, 'ns', ARGV[9]) end
await(id, ARGV[6], ARGV[7])
return answer
