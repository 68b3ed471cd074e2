-- Where a namespace keeps its subscriptions and the rules of topics; the mirror of keys.py.
local function key_of(kind) return KEYS[1] .. ':' .. kind end

-- The version of a hash is a field of its own, so that no part of a server's loss takes one without
-- the other. It is made of the server's clock, so that versions that a server has lost, in a crash,
-- are never given again for other contents.
local version_field = '#'
-- The version at which a subscription was last ended.
local ended_field = '#ended'
local function version_of(key) return redis.call('HGET', key, version_field) or '0' end
local function raise_version(key)
  local time = redis.call('TIME')
  local raised = math.max(tonumber(version_of(key)) + 1, time[1] * 1000000 + time[2])
  local version = string.format('%.0f', raised)
  redis.call('HSET', key, version_field, version)
  return version
end
