#!lua flags=allow-oom
-- Renew the leases of one worker in one slot: a heartbeat.
--
-- Guarantees: only the holder of the newest grant renews; a revived worker cannot steal back.
-- A renewal moves the lease to a new tick; observers see that it moved, by their own clocks.
--
-- KEYS  1 slot
-- ARGV  id, fencing token, id, fencing token, ... (at most 100 pairs)
-- Returns one number per pair: 1 renewed, 2 renewed and a cancel is requested, 0 lost
--#include lib/slot.lua
local tick = redis.call('HINCRBY', slot, 'tick', 1)
local answers = {}
for i = 1, #ARGV, 2 do
  local id = ARGV[i]
  local record = fields_of(id, 's', 'f', 'cr')
  local answer = 0
  if record.s == 'R' and record.f == ARGV[i + 1] then
    redis.call('ZADD', leases_key, tick, id)
    answer = record.cr and 2 or 1
  end
  answers[#answers + 1] = answer
end
return answers
