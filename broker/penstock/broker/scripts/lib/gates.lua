-- The gates of job types that have a limit, as a claim sees them. The gate of a type is the set of
-- its jobs that are RUNNING. One without a limit any more stays until the last who was parked is gone.

-- Places at a gate, which are counted when they are first asked for. Of a gate that is full, some are
-- looked at, lest a place be taken by a job that is gone: it has no lease.
local function places_at(gate)
  if gate.places then return gate.places end
  local key = gate_key(gate.digest)
  gate.places = gate.most and gate.most - redis.call('SCARD', key) or math.huge
  if gate.places < 1 then
    for _, id in ipairs(redis.call('SRANDMEMBER', key, 3)) do
      if not redis.call('ZSCORE', leases_key, id) then
        gate.places = gate.places + redis.call('SREM', key, id)
      end
    end
  end
  return gate.places
end

-- Most jobs of the slot that may be RUNNING, or nil; gates by type, or nil where there are none.
local function open_gates()
  local limits = redis.call('HGETALL', limits_key)
  local anybody_held = #limits > 0 and redis.call('EXISTS', held_key) == 1
  local most_running, gates
  for i = 1, #limits, 2 do
    local type = string.match(limits[i], '^type (.*)$')
    if limits[i] == 'running' then most_running = tonumber(limits[i + 1]) end
    if type then
      local digest, most = parse_limits(limits[i + 1])
      local parks = anybody_held and redis.call('EXISTS', parked_key(digest)) == 1
      if most or parks then
        gates = gates or {}
        gates[type] = {digest = digest, most = most, parks = parks}
      elseif limits[i + 1] == digest .. ' - - -' then
        redis.call('HDEL', limits_key, limits[i])
      end
    end
  end
  -- Nothing but the version is left of limits that were taken back.
  if #limits > 0 and redis.call('HLEN', limits_key) == 1 then redis.call('DEL', limits_key) end
  return most_running, gates
end

-- A job takes one of the places, which were counted.
local function enter(gate, id)
  if not gate.most then return end
  redis.call('SADD', gate_key(gate.digest), id)
  redis.call('HSET', record_key(id), 'gt', gate.digest)
  gate.places = gate.places - 1
end

-- Who was parked longest in a priority behind a gate with places, or nil. What was found is kept in
-- the gate (first), until whoever takes the job away clears it.
local function oldest_parked(gates, priority)
  local oldest
  for _, gate in pairs(gates) do
    if gate.parks and places_at(gate) >= 1 then
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
