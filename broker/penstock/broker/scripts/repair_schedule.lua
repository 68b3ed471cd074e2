#!lua flags=allow-oom
-- Put schedules back into the set of those that wait, as their hashes say.
--
-- KEYS  1 slot
-- ARGV  schedules (at most 100)
-- Returns how many were put back
--#include lib/slot.lua
local repaired = 0
for _, id in ipairs(ARGV) do
  local occurrence = redis.call('HGET', schedule_key(id), 'nx')
  if occurrence then repaired = repaired + redis.call('ZADD', schedules_key, 'NX', occurrence, id) end
end
return repaired
