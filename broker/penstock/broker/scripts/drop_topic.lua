#!lua
-- Remove a subscription or a rule of topics.
--
-- Guarantees: of a subscription, it leaves a trace, so that its workers can tell this from a loss.
--
-- KEYS  1 namespace
-- ARGV  1 'subscriptions' | 'topics'  2 name or pattern
-- Returns 1 if there was one, else 0
--#include lib/topics.lua
local key = key_of(ARGV[1])
if redis.call('HDEL', key, ARGV[2]) == 0 then return 0 end
local version = raise_version(key)
if ARGV[1] == 'subscriptions' then redis.call('HSET', key, ended_field, version) end
return 1
