#!lua flags=allow-oom
-- Write something, behind all that was written before: whoever has it has that, too.
--
-- Guarantees: it is a write whatever is stored, and also when memory is short; leaves nothing behind
-- for long.
--
-- KEYS  1 probe
-- ARGV  1 life of the key (ms)
-- Returns 1
redis.call('SET', KEYS[1], 1, 'PX', ARGV[1])
return 1
