#!lua flags=allow-oom
-- A worker hands a job back unfinished (drain, or no handler for its type). It costs no attempt.
-- RUNNING -> QUEUED | SCHEDULED (after a pause) | CANCELLED (was requested) | EXPIRED
--
-- Guarantees: only the holder of the newest grant hands it back, once; repeating it is safe.
--
-- KEYS  1 slot
-- ARGV  1 id  2 fencing token  3 pause (ms)  4 reason, for watchers  5 counter to raise
-- Returns {'accepted', state, jobs to ring for} | {'repeated', state} | {'stale', state or ''}
--#include lib/slot.lua
--#include lib/events.lua
--#include lib/queue.lua
--#include lib/fence.lua
--#include lib/finish.lua
--#include lib/running.lua
local id, pause, reason = ARGV[1], tonumber(ARGV[3]), ARGV[4]
local record = fields_of(id, 's', 'f', 'a', 'pr', 'dl', 'cr', 'lt', 'rt', 'pl', 'ck', 'ca', 'gt')
local refused = refusal(record, ARGV[2])
if refused then return refused end

local now = now_ms()
local rings = leave_leases(id, record)
redis.call('HINCRBY', slot, ARGV[5], 1)
if record.cr then
  finish(id, record, now, 'C', record.cr, 'cancelled', {})
  return {'accepted', 'C', rings}
end
if record.dl and now + pause >= tonumber(record.dl) then
  finish(id, record, now, 'E', '', 'expired', {})
  return {'accepted', 'E', rings}
end
open_log(id)
redis.call('HINCRBY', record_key(id), 'a', -1)
if pause > 0 then
  local due = now + pause
  wait_until(id, record, due)
  tell(id, true, now, 'S', record.a - 1, due .. ' ' .. reason)
  return {'accepted', 'S', rings}
end
wait_in_queue(id, record, now)
tell(id, true, now, 'Q', record.a - 1, reason)
return {'accepted', 'Q', rings}
