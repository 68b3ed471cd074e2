#!lua flags=allow-oom
-- Take a slot that was seen empty off the active ones, unless it was marked lately.
--
-- KEYS  1 active slots of the namespace
-- ARGV  1 slot  2 age of a mark that is old (ms)
-- Returns 1 if it was dropped, else 0
local time = redis.call('TIME')
local marked = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not marked or time[1] * 1000 - marked < tonumber(ARGV[2]) then return 0 end
return redis.call('ZREM', KEYS[1], ARGV[1])
