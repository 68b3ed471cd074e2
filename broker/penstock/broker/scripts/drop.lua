#!lua flags=allow-oom
-- Drop a slot from the active ones, unless it was marked since it was looked at.
--
-- KEYS  1 active slots of the namespace
-- ARGV  1 member  2 mark that was seen (ms)
-- Returns 1 if it was dropped, else 0
if redis.call('ZSCORE', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
return redis.call('ZREM', KEYS[1], ARGV[1])
