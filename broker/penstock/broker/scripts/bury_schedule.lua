#!lua flags=allow-oom
-- Delete a schedule, and void every claim on it up to the given one.
--
-- Guarantees: one that was stored under a later claim is left alone. Its jobs are.
--
-- KEYS  1 slot
-- ARGV  1 schedule  2 claim  3 for how long claims are void (ms): longer than any call lasts
--       4 'empty': do nothing if there is a schedule, or ''
-- Returns 1 if one was deleted, -1 if there is one that was left alone, else 0
--#include lib/slot.lua
local id, claim = ARGV[1], tonumber(ARGV[2])
local stored = tonumber(redis.call('HGET', schedule_key(id), 'cl') or -1)
if stored >= 0 and (ARGV[4] == 'empty' or stored > claim) then return -1 end
local buried = tonumber(redis.call('GET', buried_key(id)) or 0)
redis.call('SET', buried_key(id), math.max(claim, buried), 'PX', ARGV[3])
redis.call('ZREM', schedules_key, id)
return redis.call('DEL', schedule_key(id))
