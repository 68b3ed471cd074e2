#!lua
-- Put a policy down, or take it back, under a new version.
--
-- Guarantees: the version rises with every change, and also where the server lost the last one: it
-- is a time in us. The number of policies is bounded. Repeating it changes nothing.
--
-- KEYS  1 policies of the namespace
-- ARGV  1 field  2 policy as JSON, or '' to take it back  3 most fields
-- Returns 'stored' | 'absent': there was none to take back | 'full'
local known = redis.call('HGET', KEYS[1], ARGV[1])
if ARGV[2] == '' and not known then return 'absent' end
if ARGV[2] == known then return 'stored' end
if not known and redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[3]) then return 'full' end
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local version = math.max(now, tonumber(redis.call('HGET', KEYS[1], '#version') or 0) + 1)
redis.call('HSET', KEYS[1], '#version', version)
if ARGV[2] == '' then
  redis.call('HDEL', KEYS[1], ARGV[1])
else
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
end
return 'stored'
