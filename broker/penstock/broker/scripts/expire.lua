#!lua flags=allow-oom
-- End the waiting jobs whose deadline has passed. SCHEDULED | QUEUED -> EXPIRED
--
-- Guarantees: each ends once, by whoever comes first; bounded. A foreign key at the name of a record
-- keeps no other waiting. Ids are learned from the deadlines; keys are built from the slot.
--
-- KEYS  1 slot
-- ARGV  1 most jobs to end (at most 100)
-- Returns {jobs ended, ms until the next deadline, or -1 if there is none, {id, error, ...}}
--#include lib/slot.lua
--#include lib/guarded.lua
--#include lib/events.lua
--#include lib/leave.lua
--#include lib/finish.lua
local now = now_ms()
local ids = redis.call('ZRANGEBYSCORE', deadlines_key, '-inf', now, 'LIMIT', 0, ARGV[1])
local ended = 0
local failed = for_each(ids, function(id)
  -- Before it is read: what cannot be must not come up again at each visit.
  redis.call('ZREM', deadlines_key, id)
  local record = fields_of(id, 's', 'x', 'hd', 'pr', 'dl', 'a', 'lt', 'rt', 'pl', 'ck', 'ca')
  if record.s == 'Q' or record.s == 'S' then
    leave_queue(id, record)
    finish(id, record, now, 'E', '', 'expired', {})
    ended = ended + 1
  end
end)
local next_due = redis.call('ZRANGE', deadlines_key, 0, 0, 'WITHSCORES')[2]
return {ended, next_due and math.max(0, next_due - now) or -1, failed}
