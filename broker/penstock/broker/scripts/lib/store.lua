-- Record and payload of a job that is new; it has no state yet.
local function put(id, now, digest, priority, payload, ...)
  local key = record_key(id)
  redis.call('HSET', key, 'c', now, 'n', 0, 'h', digest, ...)
  if priority ~= 'd' then redis.call('HSET', key, 'pr', priority) end
  if payload ~= '' then redis.call('SET', payload_key(id), payload) end
  redis.call('HINCRBY', slot, 'submitted', 1)
end

-- The one way into the data: record, payload and place of a job that is new. The caller has made sure
-- that it is. due and deadline are times (ms), deadline or false; payload is what is kept apart, or
-- ''; then follow the further fields of the record: name, value, ... Returns the job's state.
local function store(id, now, digest, priority, due, deadline, payload, ...)
  local key = record_key(id)
  put(id, now, digest, priority, payload, ...)
  if deadline then
    redis.call('HSET', key, 'dl', deadline)
    redis.call('ZADD', deadlines_key, deadline, id)
  end
  if due > now then
    redis.call('HSET', key, 's', 'S', 'du', due, 'd0', 1)
    redis.call('ZADD', due_key, due, id)
    tell(id, false, now, 'S', 0, '')
    return 'S'
  end
  redis.call('HSET', key, 's', 'Q', 'x', enqueue(id, priority))
  tell(id, false, now, 'Q', 0, '')
  return 'Q'
end
