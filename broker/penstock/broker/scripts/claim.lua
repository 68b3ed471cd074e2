#!lua flags=allow-oom
-- Grant waiting jobs to a worker. QUEUED -> RUNNING (or EXPIRED, where the deadline has passed)
--
-- Guarantees: a job is granted to one worker at a time; each grant has a fencing token above all
-- earlier ones; entries that do not match their record (it moved on) are dropped, never run. The
-- entry is read with NOACK and deleted here: from now on the lease holds the job, not the stream.
-- Never more jobs are RUNNING than the limits of queue and type allow: a job whose type is full is
-- parked, and granted in the order of age as soon as there is room (see lib/held.lua).
-- A server that is full grants jobs all the same: it becomes empty by ending them.
-- A job that the next crash would have quarantined is marked (sw) as one that has not begun: its
-- worker is to run it alone, and says by begin.lua when it does.
-- Ids are learned from the streams and the parked; keys are built from the slot.
--
-- KEYS  1 slot
-- ARGV  1 worker id  2 most jobs to grant (1 to 100)  3 lease (ms)
--       4 priorities in the order to serve them, such as hdl  5 most crashes of one job, from a
--       worker that runs suspects alone, else ''
-- Returns {1 if it ended before it had looked at all that waits else 0,
--          {id, checkpoint or false, payload kept apart or false, {name, value, ...}}...}
--#include lib/slot.lua
--#include lib/events.lua
--#include lib/fence.lua
--#include lib/finish.lua
--#include lib/held.lua
--#include lib/gates.lua
local worker, wanted, lease_ms = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local most_crashes = tonumber(ARGV[5])
local now = now_ms()
local grants = {0}
if redis.call('EXISTS', paused_key) == 1 then return grants end
local most_running, gates = open_gates()
if most_running then
  wanted = math.min(wanted, most_running - redis.call('ZCARD', leases_key))
end
local tick

local function read(stream, count)
  local reply = redis.pcall('XREADGROUP', 'GROUP', 'workers', 'any', 'COUNT', count, 'NOACK',
    'STREAMS', stream, '>')
  if reply and reply.err then
    if string.sub(reply.err, 1, 7) ~= 'NOGROUP' then error(reply) end
    -- The first reader of a stream, or the group was destroyed. From 0, so that no job is skipped.
    redis.call('XGROUP', 'CREATE', stream, 'workers', '0', 'MKSTREAM')
    return read(stream, count)
  end
  return reply and reply[1][2] or {}
end

local of_record = {'s', 'x', 'dl', 'lt', 'rt', 'pl', 'ck', 'ca', 'a', 'k'}
-- Where there are no gates, nobody is parked, nor can be.
if gates then of_record = {'t', 'pr', 'hd', unpack(of_record)} end

-- From a stream, or, with a digest, from those who were parked under it.
local function grant(id, entry, digest)
  local record = fields_of(id, unpack(of_record))
  if record.s ~= 'Q' or (record.hd or nil) ~= digest or (entry and record.x ~= entry) then
    if digest then redis.call('ZREM', parked_key(digest), id) end
    if digest and not record.hd then redis.call('ZREM', held_key, id) end
    return
  end
  if digest then unpark(id, digest) end
  if record.dl and tonumber(record.dl) <= now then
    redis.call('ZREM', deadlines_key, id)
    finish(id, record, now, 'E', '', 'expired', {})
    return
  end
  local gate = gates and gates[record.t]
  if gate and places_at(gate) < 1 then
    park(id, record.pr, record.x, gate.digest)
    return
  end
  if record.dl then redis.call('ZREM', deadlines_key, id) end
  if gate then enter(gate, id) end
  local key = record_key(id)
  local token = raise_token(id, now)
  if most_crashes and record.k and record.k + 1 >= most_crashes then
    redis.call('HSET', key, 'sw', token)
  end
  local attempt = redis.call('HINCRBY', key, 'a', 1)
  redis.call('HSET', key, 's', 'R', 'st', now, 'w', worker, 'l', lease_ms)
  tick = tick or redis.call('HINCRBY', slot, 'tick', 1)
  redis.call('ZADD', leases_key, tick, id)
  tell(id, record.lt, now, 'R', attempt, '')
  grants[#grants + 1] = {
    id,
    record.ck and redis.call('GET', checkpoint_key(id)),
    record.pl and redis.call('GET', payload_key(id)),
    redis.call('HGETALL', key),
  }
end

-- Entries that grant nothing cost budget, so that a heap of expired jobs cannot hold the server.
local budget = wanted + 100
for priority in string.gmatch(ARGV[4], '%a') do
  local stream = stream_key(priority)
  local left = wanted - (#grants - 1)
  while left > 0 and budget > 0 do
    local parked = gates and oldest_parked(gates, priority)
    local entries = {}
    if not parked then
      entries = read(stream, math.min(left, budget))
    elseif is_older(stream, parked.age) then
      entries = read(stream, 1)
    end
    for _, entry in ipairs(entries) do
      redis.call('XDEL', stream, entry[1])
      grant(entry[2][2], entry[1])
    end
    if #entries == 0 then
      if not parked then break end
      grant(parked.id, nil, parked.gate.digest)
      parked.gate.first = nil
    end
    budget = budget - math.max(#entries, 1)
    left = wanted - (#grants - 1)
  end
  if left > 0 and budget <= 0 then grants[1] = 1 end
end
return grants
