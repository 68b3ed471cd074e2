#!lua flags=allow-oom
-- Cancel a job. SCHEDULED | QUEUED -> CANCELLED; RUNNING is flagged, and its worker told.
--
-- Guarantees: a terminal job does not change; repeating it is safe (the first reason stands).
--
-- KEYS  1 slot
-- ARGV  1 id  2 reason
-- Returns {state after the call, worker id or ''} | {'', ''}: no such job
--#include lib/slot.lua
--#include lib/events.lua
--#include lib/queue.lua
--#include lib/finish.lua
local id, reason = ARGV[1], ARGV[2]
local record = fields_of(id, 's', 'x', 'pr', 'dl', 'w', 'a', 'lt', 'rt', 'pl', 'ck', 'ca')
if not record.s then return {'', ''} end
if record.s == 'R' then
  redis.call('HSETNX', record_key(id), 'cr', reason)
  return {'R', record.w}
end
if record.s == 'Q' or record.s == 'S' then
  leave_queue(id, record)
  finish(id, record, now_ms(), 'C', reason, 'cancelled', {'cr', reason})
  return {'C', ''}
end
return {record.s, ''}
