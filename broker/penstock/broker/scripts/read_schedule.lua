#!lua flags=no-writes
-- A schedule as it stands.
--
-- KEYS  1 slot
-- ARGV  1 schedule
-- Returns {now (ms), {name, value, ...}}: no fields if there is none
--#include lib/slot.lua
return {now_ms(), redis.call('HGETALL', schedule_key(ARGV[1]))}
