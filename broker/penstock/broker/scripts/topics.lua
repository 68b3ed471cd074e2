#!lua flags=no-writes
-- All subscriptions and rules of topics, unless the caller has them already.
--
-- KEYS  1 namespace
-- ARGV  1 version that the caller has, or ''
-- Returns {version} if it is the newest, else
--         {version, {subscription, entry, ...}, {pattern of a rule, entry, ...}}; see put_topic.lua for
--         the entries, and lib/topics.lua for further fields of both
--#include lib/topics.lua
local subscriptions, rules = key_of('subscriptions'), key_of('topics')
local version = version_of(subscriptions) .. ' ' .. version_of(rules)
if version == ARGV[1] then return {version} end
return {version, redis.call('HGETALL', subscriptions), redis.call('HGETALL', rules)}
