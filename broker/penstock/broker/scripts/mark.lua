#!lua
-- Say that a slot has work, so that somebody keeps house there.
--
-- KEYS  1 active slots of the namespace
-- ARGV  1 slot
-- Returns 1
local time = redis.call('TIME')
redis.call('ZADD', KEYS[1], time[1] * 1000 + math.floor(time[2] / 1000), ARGV[1])
return 1
