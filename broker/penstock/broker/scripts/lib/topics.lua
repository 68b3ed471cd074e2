-- Where a namespace keeps its subscriptions and the rules of topics; the mirror of keys.py.
local function key_of(kind) return KEYS[1] .. ':' .. kind end

-- The version of both, a field of the namespace. It is made of the server's clock, so that versions
-- that a server has lost, in a crash, are never given again for other contents.
local version_field = 'topics'
-- That of the last time that a subscription was ended.
local ended_field = 'topics_ended'
local function raise_version()
  local time = redis.call('TIME')
  local last = tonumber(redis.call('HGET', KEYS[1], version_field) or 0)
  local version = string.format('%.0f', math.max(last + 1, time[1] * 1000000 + time[2]))
  redis.call('HSET', KEYS[1], version_field, version)
  return version
end
