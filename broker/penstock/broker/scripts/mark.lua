#!lua flags=allow-oom
-- Say that a slot has work, so that somebody keeps house there.
--
-- Guarantees: each mark is a higher one; also on a full server, where jobs are still granted; there are no more marks than slots.
--
-- KEYS  1 active slots of the namespace
-- ARGV  1 slot
-- Returns 1
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local last = redis.call('ZSCORE', KEYS[1], ARGV[1])
redis.call('ZADD', KEYS[1], last and math.max(now, last + 1) or now, ARGV[1])
return 1
