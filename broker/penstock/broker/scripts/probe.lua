#!lua
-- Write and publish something, to see whether the server takes it now, and from this user.
--
-- Guarantees: it is refused whenever a submit would be, short memory included; leaves nothing
-- behind for long.
--
-- KEYS  1 probe
-- ARGV  1 life of the key (ms)
-- Returns 1
redis.call('SET', KEYS[1], 1, 'PX', ARGV[1])
redis.call('SPUBLISH', KEYS[1], 1)
return 1
