-- Jobs that are held: QUEUED, but parked beside their stream, because as many of their type are
-- running as may (field hd of the record: the digest of the type). Whoever is parked keeps his rank
-- by priority and then age, which is that of his stream entry (field x).
local band = {h = 0, d = 3000000000000000, l = 6000000000000000}

-- Age of a stream entry, as a number that fits a double: us, and entries of one ms in their order.
local function age_of(entry)
  local ms, sequence = string.match(entry, '^(%d+)-(%d+)$')
  return ms * 1000 + math.min(sequence, 999)
end

local function park(id, priority, entry, digest)
  local rank = band[priority or 'd'] + age_of(entry)
  redis.call('HSET', record_key(id), 'hd', digest)
  redis.call('ZADD', held_key, rank, id)
  return redis.call('ZADD', parked_key(digest), rank, id)
end

local function unpark(id, digest)
  redis.call('HDEL', record_key(id), 'hd')
  redis.call('ZREM', held_key, id)
  redis.call('ZREM', parked_key(digest), id)
end
