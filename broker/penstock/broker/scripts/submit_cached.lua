#!lua
-- Store a job that goes by the result cache, or find the one that answers this submit already.
-- -> QUEUED | SUCCEEDED (answered from the cache)
--
-- Guarantees: those of submit.lua; and at most one job that fills an entry is under way, but for
-- those that skip the cache.
--
-- KEYS  1 slot
-- ARGV  1 id  2 digest of type and payload  3 priority  4 expires in (ms) or ''  5 deadline (ms) or ''
--       6 payload kept apart, or ''  7 cache policy, packed as in lib/cache.lua
--       8 most jobs that may wait in the slot, or ''
--       9... further fields of the record: name, value, ...
-- Returns {'created' | 'repeated' | 'joined', id, state}
--         {'cached', id, state}, and where it is asked for: result, its content type
--         {'conflict', id}: the id stands for other work
--         {'late'}: the deadline has passed
--         {'full', depth, limit}: so many jobs wait that this one may not
--#include lib/slot.lua
--#include lib/events.lua
--#include lib/queue.lua
--#include lib/depth.lua
--#include lib/store.lua
--#include lib/finish.lua
--#include lib/cache.lua
local id, digest, priority, payload = ARGV[1], ARGV[2], ARGV[3], ARGV[6]

local known = fields_of(id, 's', 'h')
if known.s then
  if known.h ~= digest then return {'conflict', id} end
  return {'repeated', id, known.s}
end

local now = now_ms()
local policy = cache_policy(ARGV[7])
local source = policy.reads and cached_job(policy, now)
if source and not source.e then
  redis.call('HINCRBY', slot, 'cache_joined', 1)
  return {'joined', source.id, source.s}
end

local deadline = tonumber(ARGV[5]) or (ARGV[4] ~= '' and now + tonumber(ARGV[4]))
if deadline and deadline <= now then return {'late'} end

if source then
  put(id, now, digest, priority, payload, unpack(ARGV, 9))
  answer_from(source, id, policy, now, payload ~= '')
  if policy.tells and #source.result <= longest_told then
    return {'cached', id, 'D', source.result, source.rc or ''}
  end
  return {'cached', id, 'D'}
end
local full = full_at(ARGV[8])
if full then return {'full', full, ARGV[8]} end
local state = store(id, now, digest, priority, now, deadline, payload, unpack(ARGV, 9))
if policy.reads then redis.call('HINCRBY', slot, 'cache_misses', 1) end
if policy.writes then take_entry(id, policy) end
return {'created', id, state}
