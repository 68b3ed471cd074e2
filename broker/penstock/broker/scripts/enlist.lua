#!lua flags=allow-oom
-- Put schedules back on the list of ids, as their hashes say.
--
-- Guarantees: an id that is on the list stays as it is; later claims have higher numbers.
--
-- KEYS  1 schedules of the namespace
-- ARGV  schedule id, claim, queue, ... (at most 100 schedules)
-- Returns how many were put back
local enlisted, highest = 0, tonumber(redis.call('HGET', KEYS[1], '#') or 0)
for i = 1, #ARGV, 3 do
  local entry = ARGV[i + 1] .. ' ' .. ARGV[i + 2]
  enlisted = enlisted + redis.call('HSETNX', KEYS[1], ARGV[i], entry)
  highest = math.max(highest, tonumber(ARGV[i + 1]))
end
redis.call('HSET', KEYS[1], '#', string.format('%.0f', highest))
return enlisted
