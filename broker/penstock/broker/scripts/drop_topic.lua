#!lua
-- Remove a subscription or a rule of topics.
--
-- KEYS  1 namespace
-- ARGV  1 'subscriptions' | 'topics'  2 name or pattern
-- Returns 1 if there was one, else 0
--#include lib/topics.lua
if redis.call('HDEL', key_of(ARGV[1]), ARGV[2]) == 0 then return 0 end
raise_version()
return 1
