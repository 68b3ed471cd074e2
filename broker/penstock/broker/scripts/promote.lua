#!lua flags=allow-oom
-- Queue the scheduled jobs whose time has come. SCHEDULED -> QUEUED
--
-- Guarantees: each is queued once, by whoever comes first; bounded. A foreign key at the name of a
-- record keeps no other waiting. Ids are learned from the due set; keys are built from the slot.
--
-- KEYS  1 slot
-- ARGV  1 most jobs to queue (at most 100)
-- Returns {jobs queued, ms until the next is due, or -1 if none is, {id, error, ...}}
--#include lib/slot.lua
--#include lib/guarded.lua
--#include lib/events.lua
--#include lib/queue.lua
local now = now_ms()
local ids = redis.call('ZRANGEBYSCORE', due_key, '-inf', now, 'LIMIT', 0, ARGV[1])
local queued = 0
local failed = for_each(ids, function(id)
  -- Before it is read: what cannot be must not come up again at each visit.
  redis.call('ZREM', due_key, id)
  local record = fields_of(id, 's', 'pr', 'a', 'lt')
  if record.s == 'S' then
    -- The deadline, if there is one, is already indexed.
    wait_in_queue(id, record, now)
    tell(id, record.lt, now, 'Q', record.a or '0', '')
    queued = queued + 1
  end
end)
local next_due = redis.call('ZRANGE', due_key, 0, 0, 'WITHSCORES')[2]
return {queued, next_due and math.max(0, next_due - now) or -1, failed}
