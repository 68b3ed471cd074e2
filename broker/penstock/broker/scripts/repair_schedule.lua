#!lua flags=allow-oom
-- Put schedules back into the set of those that wait, as their hashes say.
--
-- KEYS  1 slot
-- ARGV  schedules (at most 100)
-- Returns {how many were put back, {schedule, error, ...}: those that cannot be read,
--         schedule id, claim, queue, ...}: what the list of ids says of the others
--#include lib/slot.lua
--#include lib/guarded.lua
--#include lib/schedule.lua
local answer = {0, {}}
answer[2] = for_each(ARGV, function(id)
  local schedule = schedule_fields(id, 'nx', 'id', 'cl', 'q')
  if schedule.nx then
    answer[1] = answer[1] + redis.call('ZADD', schedules_key, 'NX', schedule.nx, id)
  end
  if schedule.id and schedule.cl and schedule.q then
    for _, part in ipairs({schedule.id, schedule.cl, schedule.q}) do answer[#answer + 1] = part end
  end
end)
return answer
