-- How many jobs wait in the slot: QUEUED, held ones included, and SCHEDULED.
local function depth()
  return redis.call('XLEN', stream_key('d')) + redis.call('XLEN', stream_key('h'))
    + redis.call('XLEN', stream_key('l')) + redis.call('ZCARD', due_key) + redis.call('ZCARD', held_key)
end

-- The depth, if it is a limit or more; nil where it is not, or '' is the limit, which is none.
local function full_at(limit)
  if limit == '' then return nil end
  local waiting = depth()
  if waiting >= tonumber(limit) then return waiting end
  return nil
end
