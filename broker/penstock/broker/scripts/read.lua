#!lua flags=no-writes
-- A job as it stands, in one look.
--
-- KEYS  1 slot
-- ARGV  1 id  2 1 to read a payload kept apart, else 0  3 1 to read a result kept apart, else 0
-- Returns {payload kept apart or false, result kept apart or false, {name, value, ...}}
--         the last is empty: no such job
--#include lib/slot.lua
local id = ARGV[1]
return {
  ARGV[2] == '1' and redis.call('GET', payload_key(id)),
  ARGV[3] == '1' and redis.call('GET', result_key(id)),
  redis.call('HGETALL', record_key(id)),
}
