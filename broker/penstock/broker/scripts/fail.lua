#!lua flags=allow-oom
-- An attempt ended without a result. RUNNING -> SCHEDULED (retry) | FAILED | CANCELLED | EXPIRED
--
-- Guarantees: only the holder of the newest grant ends the attempt, once; repeating it is safe. A
-- job is tried again only while attempts are left (crashes are not counted), no cancel is requested,
-- and the retry would come before the deadline.
--
-- KEYS  1 slot
-- ARGV  1 id  2 fencing token  3 kind: error | timeout | final | cancelled | expired
--       4 type of the error  5 message  6 pause before a retry (ms)  7 default of max attempts
-- Returns {'accepted', state, jobs to ring for} | {'repeated', state} | {'stale', state or ''}
--#include lib/slot.lua
--#include lib/events.lua
--#include lib/queue.lua
--#include lib/fence.lua
--#include lib/finish.lua
--#include lib/running.lua
local id, kind, error_type, message = ARGV[1], ARGV[3], ARGV[4], ARGV[5]
local record = fields_of(id, 's', 'f', 'a', 'k', 'm', 'pr', 'dl', 'cr', 'lt', 'rt', 'pl', 'ck', 'ca', 'gt')
local refused = refusal(record, ARGV[2])
if refused then return refused end

local now = now_ms()
local failure = {'ft', error_type, 'fm', message}
local why = error_type .. ': ' .. message
local rings = leave_leases(id, record)

local function fail(reason)
  failure[5], failure[6] = 'fr', reason
  finish(id, record, now, 'F', why, 'failed:' .. reason, failure)
  return {'accepted', 'F', rings}
end

if kind == 'expired' then
  finish(id, record, now, 'E', why, 'expired', failure)
  return {'accepted', 'E', rings}
end
if kind == 'cancelled' or record.cr then
  local reason = record.cr or message
  finish(id, record, now, 'C', reason, 'cancelled', {'cr', reason})
  return {'accepted', 'C', rings}
end
if kind == 'final' then return fail('NON_RETRYABLE') end
local failures = record.a - (record.k or 0)
if failures >= tonumber(record.m or ARGV[7]) then
  return fail(kind == 'timeout' and 'TIMED_OUT' or 'EXHAUSTED')
end
local due = now + tonumber(ARGV[6])
if record.dl and due >= tonumber(record.dl) then
  finish(id, record, now, 'E', why, 'expired', failure)
  return {'accepted', 'E', rings}
end
open_log(id)
redis.call('HSET', record_key(id), unpack(failure))
wait_until(id, record, due)
tell(id, true, now, 'S', record.a, due .. ' ' .. why)
redis.call('HINCRBY', slot, 'retries', 1)
return {'accepted', 'S', rings}
