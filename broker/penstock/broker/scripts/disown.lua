#!lua flags=allow-oom
-- Hand back what a worker was granted by a reply that it never got. RUNNING -> QUEUED
--
-- Guarantees: only leases of this very worker process that it says it does not hold; it costs no
-- attempt and counts no crash; the token is raised; bounded. Ids are learned from the leases; keys
-- are built from the slot.
--
-- KEYS  1 slot
-- ARGV  1 worker id  2... ids that it holds
-- Returns how many were handed back
--#include lib/slot.lua
--#include lib/events.lua
--#include lib/queue.lua
local held = {}
for i = 2, #ARGV do held[ARGV[i]] = true end
local now = now_ms()
local back = 0
for _, id in ipairs(redis.call('ZRANGE', leases_key, 0, 999)) do
  if not held[id] then
    local record = fields_of(id, 's', 'w', 'pr', 'dl')
    if record.s == 'R' and record.w == ARGV[1] then
      open_log(id)
      redis.call('ZREM', leases_key, id)
      redis.call('HINCRBY', record_key(id), 'f', 1)
      local attempts = redis.call('HINCRBY', record_key(id), 'a', -1)
      wait_in_queue(id, record, now)
      tell(id, true, now, 'Q', attempts, 'the grant was lost on its way')
      back = back + 1
    end
  end
end
return back
