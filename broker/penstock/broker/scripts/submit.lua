#!lua
-- Store a job, or find the one that stands for this submit already. -> SCHEDULED | QUEUED
-- One with a cache policy comes by submit_cached.lua: what only that needs would cost every submit.
--
-- Guarantees: all or nothing, also when memory is short (the first write is one that the server
-- refuses then); repeating it never makes a second job; an equal idempotency key joins.
--
-- KEYS  1 slot
-- ARGV  1 id  2 digest of type and payload  3 digest of the idempotency key or ''
--       4 life of the idempotency key (ms)  5 priority  6 delay (ms) or ''  7 run at (ms) or ''
--       8 expires in (ms) or ''  9 deadline (ms) or ''  10 payload kept apart, or ''
--       11 most jobs that may wait in the slot, or ''
--       12... further fields of the record: name, value, ...
-- Returns {'created' | 'repeated' | 'joined', id, state or ''}
--         {'conflict', id}: the id or the idempotency key stands for other work
--         {'late'}: the deadline has passed
--         {'full', depth, limit}: so many jobs wait that this one may not
--#include lib/slot.lua
--#include lib/events.lua
--#include lib/queue.lua
--#include lib/depth.lua
--#include lib/store.lua
local id, digest, held_by, priority = ARGV[1], ARGV[2], ARGV[3], ARGV[5]

local known = fields_of(id, 's', 'h')
if known.s then
  if known.h ~= digest then return {'conflict', id} end
  return {'repeated', id, known.s}
end
if held_by ~= '' then
  local holder = redis.call('GET', idempotency_key(held_by))
  if holder then
    local first, first_digest = string.sub(holder, 1, #id), string.sub(holder, #id + 2)
    if first_digest ~= digest then return {'conflict', first} end
    return {'joined', first, redis.call('HGET', record_key(first), 's') or ''}
  end
end

local now = now_ms()
local due = tonumber(ARGV[7]) or (now + (tonumber(ARGV[6]) or 0))
local deadline = tonumber(ARGV[9]) or (ARGV[8] ~= '' and now + tonumber(ARGV[8]))
if deadline and deadline <= now then return {'late'} end
local full = full_at(ARGV[11])
if full then return {'full', full, ARGV[11]} end

local state = store(id, now, digest, priority, due, deadline, ARGV[10], unpack(ARGV, 12))
if held_by ~= '' then
  redis.call('SET', idempotency_key(held_by), id .. ' ' .. digest, 'PX', ARGV[4])
end
return {'created', id, state}
