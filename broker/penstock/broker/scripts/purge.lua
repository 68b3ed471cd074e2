#!lua flags=allow-oom
-- Cancel waiting jobs. SCHEDULED | QUEUED -> CANCELLED
--
-- Guarantees: running and ended jobs are left alone; bounded. Ids are learned from the streams and
-- the due set; keys are built from the slot.
--
-- KEYS  1 slot
-- ARGV  1 most jobs to cancel (at most 100)  2 reason
-- Returns {jobs cancelled, 1 if more wait else 0}
--#include lib/slot.lua
--#include lib/events.lua
--#include lib/queue.lua
--#include lib/finish.lua
local limit, reason = tonumber(ARGV[1]), ARGV[2]
local now = now_ms()
local ids = redis.call('ZRANGE', due_key, 0, limit - 1)
for _, priority in ipairs({'h', 'd', 'l'}) do
  if #ids < limit then
    for _, entry in ipairs(redis.call('XRANGE', stream_key(priority), '-', '+', 'COUNT',
      limit - #ids)) do
      ids[#ids + 1] = entry[2][2]
    end
  end
end
local cancelled = 0
for _, id in ipairs(ids) do
  local record = fields_of(id, 's', 'x', 'pr', 'dl', 'a', 'lt', 'rt', 'pl', 'ck')
  if record.s == 'Q' or record.s == 'S' then
    leave_queue(id, record)
    finish(id, record, now, 'C', reason, 'cancelled', {'cr', reason})
    cancelled = cancelled + 1
  end
end
return {cancelled, #ids >= limit and 1 or 0}
