-- The gates of job types that have a limit, as a claim sees them. The gate of a type is the set of
-- its jobs that are RUNNING. One without a limit any more stays until the last who was parked is gone.

-- Places at a gate. Of one that is full, some are looked at, lest a place be taken by a job that is
-- gone: it has no lease.
local function free_places(digest, most)
  if not most then return math.huge end
  local gate = gate_key(digest)
  local places = most - redis.call('SCARD', gate)
  if places < 1 then
    for _, id in ipairs(redis.call('SRANDMEMBER', gate, 3)) do
      if not redis.call('ZSCORE', leases_key, id) then
        places = places + redis.call('SREM', gate, id)
      end
    end
  end
  return places
end

-- Most jobs of the slot that may be RUNNING, or nil; gates by type, or nil where there are none.
local function open_gates()
  local limits = redis.call('HGETALL', limits_key)
  local most_running, gates
  for i = 1, #limits, 2 do
    local type = string.match(limits[i], '^type (.*)$')
    if limits[i] == 'running' then most_running = tonumber(limits[i + 1]) end
    if type then
      local digest, most = parse_limits(limits[i + 1])
      if most or redis.call('EXISTS', parked_key(digest)) == 1 then
        gates = gates or {}
        gates[type] = {digest = digest, places = free_places(digest, most), limited = most ~= nil}
      elseif limits[i + 1] == digest .. ' - - -' then
        redis.call('HDEL', limits_key, limits[i])
      end
    end
  end
  -- Nothing but the version is left of limits that were taken back.
  if #limits > 0 and redis.call('HLEN', limits_key) == 1 then redis.call('DEL', limits_key) end
  return most_running, gates
end

-- A job takes one of the places.
local function enter(gate, id)
  if not gate.limited then return end
  redis.call('SADD', gate_key(gate.digest), id)
  redis.call('HSET', record_key(id), 'gt', gate.digest)
  gate.places = gate.places - 1
end

-- Who was parked longest in a priority behind a gate with places, or nil. What was found is kept in
-- the gate (first), until whoever takes the job away clears it.
local function oldest_parked(gates, priority)
  local oldest
  for _, gate in pairs(gates) do
    if gate.places >= 1 then
      if not gate.first or gate.priority ~= priority then
        local low, high = band[priority], band[priority] + band.d - 1
        local found = redis.call('ZRANGEBYSCORE', parked_key(gate.digest), low, high, 'WITHSCORES',
          'LIMIT', 0, 1)
        gate.priority = priority
        gate.first = {id = found[1], gate = gate, age = found[1] and found[2] - low}
      end
      local first = gate.first
      if first.id and (not oldest or first.age < oldest.age) then oldest = first end
    end
  end
  return oldest
end

-- Whether the next of a stream has waited for longer than an age says.
local function is_older(stream, age)
  local entry = redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)[1]
  return entry and age_of(entry[1]) < age
end
