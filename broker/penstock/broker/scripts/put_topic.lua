#!lua
-- Store a subscription or a rule of topics, in place of the one of that name.
--
-- Guarantees: whoever reads the version afterwards learns of it; storing the same again changes
-- nothing; there are never more than so many.
--
-- KEYS  1 namespace
-- ARGV  1 'subscriptions' | 'topics'  2 name or pattern  3 JSON  4 most of them
-- Returns {version of its kind, entry}, where the entry is 'created (ms) JSON'; {false} if there are too many
--#include lib/topics.lua
local key, name, text = key_of(ARGV[1]), ARGV[2], ARGV[3]
local known = redis.call('HGET', key, name)
if not known then
  local fields = redis.call('HEXISTS', key, version_field) + redis.call('HEXISTS', key, ended_field)
  if redis.call('HLEN', key) - fields >= tonumber(ARGV[4]) then return {false} end
end
local created = known and string.match(known, '^%d+')
if known and string.sub(known, #created + 2) == text then
  return {redis.call('HGET', key, version_field) or raise_version(key), known}
end
if not created then
  local time = redis.call('TIME')
  created = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
end
local entry = created .. ' ' .. text
redis.call('HSET', key, name, entry)
return {raise_version(key), entry}
