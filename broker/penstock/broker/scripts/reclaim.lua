#!lua flags=allow-oom
-- Take jobs back whose lease did not move: their worker is gone, or as good as.
-- RUNNING -> QUEUED | FAILED (QUARANTINED) | CANCELLED (was requested) | EXPIRED
--
-- Guarantees: a lease that moved since it was observed is left alone; the token is raised, so the
-- lost worker's late writes are refused; bounded. A foreign key at the name of a record keeps no other
-- from being taken back. The crash is counted apart from failures. A job
-- that was granted and had not begun (sw) has no part in it: it is charged neither crash nor attempt.
--
-- KEYS  1 slot
-- ARGV  1 most crashes of one job  then id, tick observed, id, tick observed, ... (at most 100)
-- Returns {jobs queued again, jobs ended, {id, error, ...}}
--#include lib/slot.lua
--#include lib/guarded.lua
--#include lib/events.lua
--#include lib/queue.lua
--#include lib/fence.lua
--#include lib/finish.lua
--#include lib/running.lua
local now = now_ms()
local queued, ended = 0, 0

local function take_back(id, record)
  local key = record_key(id)
  local has_begun = record.sw ~= record.f
  raise_token(id, now)
  local crashes = has_begun and redis.call('HINCRBY', key, 'k', 1) or 0
  if not has_begun then record.a = redis.call('HINCRBY', key, 'a', -1) end
  redis.call('HINCRBY', slot, 'lost', 1)
  if record.cr then
    finish(id, record, now, 'C', record.cr, 'cancelled', {})
  elseif record.dl and tonumber(record.dl) <= now then
    finish(id, record, now, 'E', '', 'expired', {})
  elseif crashes >= tonumber(ARGV[1]) then
    local message = crashes .. ' workers vanished while they ran it'
    finish(id, record, now, 'F', 'WorkerLost: ' .. message, 'failed:QUARANTINED',
      {'ft', 'WorkerLost', 'fm', message, 'fr', 'QUARANTINED'})
  else
    open_log(id)
    wait_in_queue(id, record, now)
    tell(id, true, now, 'Q', record.a, 'lease lost by ' .. record.w)
    queued = queued + 1
    return
  end
  ended = ended + 1
end

local observed, ids = {}, {}
for i = 2, #ARGV, 2 do
  ids[#ids + 1] = ARGV[i]
  observed[ARGV[i]] = ARGV[i + 1]
end
local failed = for_each(ids, function(id)
  if redis.call('ZSCORE', leases_key, id) == observed[id] then
    -- Before it is read: what cannot be must not come up again at each look.
    redis.call('ZREM', leases_key, id)
    local record = fields_of(id, 's', 'f', 'sw', 'a', 'w', 'pr', 'dl', 'cr', 'lt', 'rt', 'pl', 'ck', 'ca', 'gt')
    leave_leases(id, record)
    if record.s == 'R' then take_back(id, record) end
  end
end)
return {queued, ended, failed}
