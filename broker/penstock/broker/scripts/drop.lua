#!lua flags=allow-oom
-- Take a slot that was seen empty off the active ones, unless it was marked meanwhile.
--
-- KEYS  1 active slots of the namespace
-- ARGV  1 slot  2 its mark, as whoever drops it has seen it
-- Returns 1 if it was dropped, else 0
if redis.call('ZSCORE', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
return redis.call('ZREM', KEYS[1], ARGV[1])
