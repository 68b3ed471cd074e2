-- Schedules. Each is a hash (see schedule_record.py); one that waits for an occurrence stands in a set
-- by when to look at it.

-- Wait for an occurrence ('': for none any more), to be looked at at that time (ms).
local function await(schedule, occurrence, at)
  if occurrence == '' then
    redis.call('HDEL', schedule_key(schedule), 'nx')
    redis.call('ZREM', schedules_key, schedule)
  else
    redis.call('HSET', schedule_key(schedule), 'nx', occurrence)
    redis.call('ZADD', schedules_key, at, schedule)
  end
end

-- Fields of a schedule by name; a missing one is false.
local function schedule_fields(schedule, ...)
  local values = redis.call('HMGET', schedule_key(schedule), ...)
  local fields = {}
  for i, name in ipairs({...}) do fields[name] = values[i] end
  return fields
end
