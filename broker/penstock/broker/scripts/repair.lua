#!lua flags=allow-oom
-- Put jobs back into the structure that their record calls for: the record is the truth.
--
-- Guarantees: a job that is where it belongs is left alone, so repeating it is safe; bounded. What
-- stands in a structure without a matching record is dropped by whoever meets it there. A foreign key
-- at the name of a record keeps no other from being put back.
--
-- KEYS  1 slot
-- ARGV  ids (at most 100)
-- Returns {how many jobs were put back, {id, error, ...}}: those that cannot be read
--#include lib/slot.lua
--#include lib/guarded.lua
--#include lib/queue.lua
--#include lib/held.lua
--#include lib/finish.lua
--#include lib/read_past.lua
local function put_back_held(id, record)
  -- Claims meet the parked by the field of their type, which stays for them where no limit does.
  local kept_in_mind = record.hd .. ' - - -'
  local missed = redis.call('HSETNX', limits_key, 'type ' .. record.t, kept_in_mind) == 1
  if redis.call('ZSCORE', held_key, id) and redis.call('ZSCORE', parked_key(record.hd), id) then
    return missed
  end
  park(id, record.pr, record.x, record.hd)
  return true
end

local function put_back_queued(id, record)
  if record.hd then return put_back_held(id, record) end
  local stream = stream_key(record.pr or 'd')
  -- In a stream that was deleted and begun anew, the same entry id may be another job's.
  local entry = redis.call('XRANGE', stream, record.x, record.x)[1]
  local present = entry and entry[2][2] == id
  if present and not is_read_past(stream, record.x) then return false end
  if present then
    redis.call('XACK', stream, 'workers', record.x)
    redis.call('XDEL', stream, record.x)
  end
  local fresh = enqueue(id, record.pr)
  redis.call('HSET', record_key(id), 'x', fresh)
  if is_read_past(stream, fresh) then
    -- Foreign hands set the group ahead of its stream: nothing would ever be delivered. What has been
    -- delivered is not there any more, so the group may begin anew.
    redis.call('XGROUP', 'SETID', stream, 'workers', '0')
    read_up_to[stream] = '0-0'
  end
  return true
end

-- At a new tick, since observers look no further back than the newest that they saw.
local function put_back_running(id, record)
  local missed = record.gt and redis.call('SADD', gate_key(record.gt), id) == 1
  if redis.call('ZSCORE', leases_key, id) then return missed end
  redis.call('ZADD', leases_key, redis.call('HINCRBY', slot, 'tick', 1), id)
  return true
end

local function put_back(id, record)
  if record.s == 'Q' then return put_back_queued(id, record) end
  if record.s == 'R' then return put_back_running(id, record) end
  if record.s == 'S' then return redis.call('ZADD', due_key, 'NX', record.du, id) == 1 end
  local forgotten = record.e + retention_of(record, record.s)
  return redis.call('ZADD', ended_key(record.s), 'NX', forgotten, id) == 1
end

local repaired = 0
local failed = for_each(ARGV, function(id)
  local record = fields_of(id, 's', 't', 'x', 'hd', 'gt', 'pr', 'du', 'dl', 'e', 'rt', 'rs')
  if record.s and put_back(id, record) then repaired = repaired + 1 end
  if record.dl and (record.s == 'Q' or record.s == 'S') then
    redis.call('ZADD', deadlines_key, 'NX', record.dl, id)
  end
end)
return {repaired, failed}
