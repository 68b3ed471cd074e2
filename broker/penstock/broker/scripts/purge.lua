#!lua flags=allow-oom
-- Cancel waiting jobs. SCHEDULED | QUEUED -> CANCELLED
--
-- Guarantees: running and ended jobs are left alone; bounded. Ids are learned from the streams, the
-- held and the due set; keys are built from the slot.
--
-- KEYS  1 slot
-- ARGV  1 most jobs to cancel (at most 100)  2 reason
-- Returns {jobs cancelled, 1 if more wait else 0}
--#include lib/slot.lua
--#include lib/events.lua
--#include lib/leave.lua
--#include lib/finish.lua
local limit, reason = tonumber(ARGV[1]), ARGV[2]
local now = now_ms()
local looked_at, cancelled = 0, 0

local function cancel(id)
  local record = fields_of(id, 's', 'x', 'hd', 'pr', 'dl', 'a', 'lt', 'rt', 'pl', 'ck', 'ca')
  looked_at = looked_at + 1
  if record.s == 'Q' or record.s == 'S' then
    leave_queue(id, record)
    finish(id, record, now, 'C', reason, 'cancelled', {'cr', reason})
    cancelled = cancelled + 1
  end
end

-- Each is taken out of its structure whatever its record says: nothing stale stands in the way.
for _, id in ipairs(redis.call('ZRANGE', due_key, 0, limit - 1)) do
  redis.call('ZREM', due_key, id)
  cancel(id)
end
local parked = looked_at < limit and redis.call('ZRANGE', held_key, 0, limit - looked_at - 1) or {}
for _, id in ipairs(parked) do
  redis.call('ZREM', held_key, id)
  cancel(id)
end
for priority in string.gmatch('hdl', '%a') do
  local stream, left = stream_key(priority), limit - looked_at
  local entries = left > 0 and redis.call('XRANGE', stream, '-', '+', 'COUNT', left) or {}
  for _, entry in ipairs(entries) do
    redis.call('XDEL', stream, entry[1])
    cancel(entry[2][2])
  end
end
return {cancelled, looked_at >= limit and 1 or 0}
