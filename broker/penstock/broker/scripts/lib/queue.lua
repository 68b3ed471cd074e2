-- The one gate into QUEUED. Who may not run yet is parked when a claim comes upon him, not here: so
-- his place by age is known, and a limit that nobody reaches costs nothing.
local function enqueue(id, priority)
  return redis.call('XADD', stream_key(priority or 'd'), '*', 'j', id)
end

-- Into SCHEDULED or QUEUED, from a running attempt or from SCHEDULED; the caller tells the event.
local function wait_in_queue(id, record, now)
  redis.call('HSET', record_key(id), 's', 'Q', 'q', now, 'x', enqueue(id, record.pr))
  if record.dl then redis.call('ZADD', deadlines_key, record.dl, id) end
end

local function wait_until(id, record, due)
  redis.call('HSET', record_key(id), 's', 'S', 'du', due)
  redis.call('ZADD', due_key, due, id)
  if record.dl then redis.call('ZADD', deadlines_key, record.dl, id) end
end
