--#include lib/limits.lua
local default_retention_ms = 86400000

local function retention_of(record, state)
  return tonumber(state == 'D' and record.rs or record.rt or default_retention_ms)
end

-- A result is cached for the ttl of its job; any other end leaves nothing to be cached.
local function settle_cache(id, held, state)
  local digest, ttl = string.match(held, '^(%w+) (%d+)$')
  local entry = redis.call('GET', cache_key(digest))
  -- By now the entry may be another job's.
  if not entry or string.sub(entry, 1, #id) ~= id then return end
  if state == 'D' then
    redis.call('PEXPIRE', cache_key(digest), ttl)
  else
    redis.call('DEL', cache_key(digest))
  end
end

-- The one way into a terminal state. The caller has fenced the write and taken the job out of the
-- structure it was in. why is for people; more is a flat list of further fields of the record.
-- The record must carry lt, a, rt, pl, ck, ca, and rs where the state may be D.
local function finish(id, record, now, state, why, counter, more)
  local key = record_key(id)
  redis.call('HSET', key, 's', state, 'e', now, unpack(more))
  tell(id, record.lt, now, state, record.a or '0', why)
  local retention = retention_of(record, state)
  redis.call('PEXPIRE', key, retention)
  if record.pl then redis.call('PEXPIRE', payload_key(id), retention) end
  if record.lt then redis.call('PEXPIRE', log_key(id), retention) end
  if record.ck then redis.call('DEL', checkpoint_key(id)) end
  if record.ca then settle_cache(id, record.ca, state) end
  redis.call('ZADD', ended_key(state), now + retention, id)
  local most, kept = kept_of_type(id, state)
  if most then redis.call('ZADD', kept, now + retention, id) end
  redis.call('HINCRBY', slot, counter, 1)
  local bucket = finished_key(math.floor(now / 10000))
  if redis.call('INCR', bucket) == 1 then redis.call('EXPIRE', bucket, 120) end
end
