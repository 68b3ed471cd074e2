#!lua
-- Store a schedule under a claim on its id.
--
-- Guarantees: one that is there is left alone; a claim that a deletion has overtaken is void, so that
-- nothing comes to life which the list of ids does not know.
--
-- KEYS  1 slot
-- ARGV  1 schedule  2 claim  3 digest of its definition  4 first occurrence (ms) or ''
--       5 when to look at it (ms)  6... fields: name, value, ...
-- Returns 'created' | 'same' | 'other': there is one with another definition
--         'void': the claim is
--#include lib/slot.lua
--#include lib/schedule.lua
local id = ARGV[1]
local buried = redis.call('GET', buried_key(id))
if buried and tonumber(buried) >= tonumber(ARGV[2]) then return 'void' end
local digest = redis.call('HGET', schedule_key(id), 'h')
if digest then return digest == ARGV[3] and 'same' or 'other' end
local now = now_ms()
redis.call('HSET', schedule_key(id), 'cl', ARGV[2], 'h', ARGV[3], 'v', 1, 'c', now, 'u', now,
  unpack(ARGV, 6))
await(id, ARGV[4], ARGV[5])
return 'created'
