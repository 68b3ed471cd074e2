#!lua flags=allow-oom
-- Hand back what a worker was granted by a reply that it never got.
-- RUNNING -> QUEUED | CANCELLED (was requested)
--
-- Guarantees: only leases of this very worker process that it says it does not hold; it costs no
-- attempt and counts no crash; the token is raised; bounded: of the leases, the 1,000 that moved
-- last. Ids are learned from the leases; keys are built from the slot.
--
-- KEYS  1 slot
-- ARGV  1 worker id  2... ids that it holds
-- Returns how many were handed back
--#include lib/slot.lua
--#include lib/events.lua
--#include lib/queue.lua
--#include lib/fence.lua
--#include lib/finish.lua
--#include lib/running.lua
local held = {}
for i = 2, #ARGV do held[ARGV[i]] = true end
local now = now_ms()
local back = 0

local function hand_back(id, record)
  local key = record_key(id)
  leave_leases(id, record)
  raise_token(id, now)
  back = back + 1
  if record.cr then
    finish(id, record, now, 'C', record.cr, 'cancelled', {})
    return
  end
  open_log(id)
  local attempts = redis.call('HINCRBY', key, 'a', -1)
  wait_in_queue(id, record, now)
  tell(id, true, now, 'Q', attempts, 'the grant was lost on its way')
end

for _, id in ipairs(redis.call('ZREVRANGE', leases_key, 0, 999)) do
  if not held[id] then
    local record = fields_of(id, 's', 'a', 'w', 'pr', 'dl', 'cr', 'lt', 'rt', 'pl', 'ck', 'ca', 'gt')
    if record.s == 'R' and record.w == ARGV[1] then hand_back(id, record) end
  end
end
return back
