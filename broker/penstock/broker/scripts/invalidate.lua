#!lua flags=allow-oom
-- Raise generations, so that what was cached under them is given to no later submit.
--
-- Guarantees: all at once; a generation never takes a value that it had before, also after the
-- server lost its newest writes (values are its clock, in microseconds); repeating it is safe.
--
-- KEYS  1 generations of the namespace
-- ARGV  fields (at most 2,000)
-- Returns how many were raised
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
for _, field in ipairs(ARGV) do
  local last = tonumber(redis.call('HGET', KEYS[1], field) or 0)
  redis.call('HSET', KEYS[1], field, string.format('%.0f', math.max(now, last + 1)))
end
return #ARGV
