#!lua flags=allow-oom
-- End the waiting jobs whose deadline has passed. SCHEDULED | QUEUED -> EXPIRED
--
-- Guarantees: each ends once, by whoever comes first; bounded. Ids are learned from the deadlines;
-- keys are built from the slot.
--
-- KEYS  1 slot
-- ARGV  1 most jobs to end (at most 100)
-- Returns {jobs ended, ms until the next deadline, or -1 if there is none}
--#include lib/slot.lua
--#include lib/events.lua
--#include lib/leave.lua
--#include lib/finish.lua
local now = now_ms()
local ids = redis.call('ZRANGEBYSCORE', deadlines_key, '-inf', now, 'LIMIT', 0, ARGV[1])
local ended = 0
for _, id in ipairs(ids) do
  local record = fields_of(id, 's', 'x', 'hd', 'pr', 'dl', 'a', 'lt', 'rt', 'pl', 'ck', 'ca')
  redis.call('ZREM', deadlines_key, id)
  if record.s == 'Q' or record.s == 'S' then
    leave_queue(id, record)
    finish(id, record, now, 'E', '', 'expired', {})
    ended = ended + 1
  end
end
local next_due = redis.call('ZRANGE', deadlines_key, 0, 0, 'WITHSCORES')[2]
return {ended, next_due and math.max(0, next_due - now) or -1}
