#!lua flags=no-writes
-- All subscriptions and rules of topics, unless the caller has them already.
--
-- KEYS  1 namespace
-- ARGV  1 version that the caller has, or ''
-- Returns {version} if it is the newest, else
--         {version, {subscription, entry, ...}, {pattern of a rule, entry, ...}, version at which a
--          subscription was last ended}; see put_topic.lua for the entries
--#include lib/topics.lua
local version = redis.call('HGET', KEYS[1], version_field) or '0'
if version == ARGV[1] then return {version} end
return {
  version,
  redis.call('HGETALL', key_of('subscriptions')),
  redis.call('HGETALL', key_of('topics')),
  redis.call('HGET', KEYS[1], ended_field) or '0',
}
