#!lua flags=allow-oom
-- Grant waiting jobs to a worker. QUEUED -> RUNNING (or EXPIRED, where the deadline has passed)
--
-- Guarantees: a job is granted to one worker at a time; each grant has a fencing token above all
-- earlier ones; entries that do not match their record (it moved on) are dropped, never run. The
-- entry is read with NOACK and deleted here: from now on the lease holds the job, not the stream.
-- A server that is full grants jobs all the same: it becomes empty by ending them.
-- Ids are learned from the streams; keys are built from the slot.
--
-- KEYS  1 slot
-- ARGV  1 worker id  2 most jobs to grant (1 to 100)  3 lease (ms)
--       4 priorities in the order to serve them, such as hdl
-- Returns {now (ms), {id, checkpoint or false, payload kept apart or false, {name, value, ...}}...}
--#include lib/slot.lua
--#include lib/events.lua
--#include lib/fence.lua
--#include lib/finish.lua
local worker, wanted, lease_ms = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local now = now_ms()
local grants = {now}
if redis.call('EXISTS', paused_key) == 1 then return grants end
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

local function grant(id, entry)
  local record = fields_of(id, 's', 'x', 'dl', 'lt', 'rt', 'pl', 'ck', 'ca', 'a')
  if record.s ~= 'Q' or record.x ~= entry then return end
  if record.dl then redis.call('ZREM', deadlines_key, id) end
  if record.dl and tonumber(record.dl) <= now then
    finish(id, record, now, 'E', '', 'expired', {})
    return
  end
  local key = record_key(id)
  raise_token(id)
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
    local entries = read(stream, math.min(left, budget))
    if #entries == 0 then break end
    for _, entry in ipairs(entries) do
      redis.call('XDEL', stream, entry[1])
      grant(entry[2][2], entry[1])
    end
    budget = budget - #entries
    left = wanted - (#grants - 1)
  end
end
return grants
