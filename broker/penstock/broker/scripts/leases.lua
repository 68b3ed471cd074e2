#!lua flags=no-writes
-- The leases that were granted or renewed after a tick. Observers call it again and again, and hold
-- a lease for expired when it has not moved for its length by their own monotonic clock.
--
-- Guarantees: the leases of one tick (at most 100) come together, so that the next look may begin
-- after the last tick; bounded.
--
-- KEYS  1 slot
-- ARGV  1 tick seen last  2 most leases, but for the rest of the last tick
-- Returns {newest tick, {id, tick, lease (ms)}...}
--#include lib/slot.lua
local answer = {tonumber(redis.call('HGET', slot, 'tick') or 0)}
local first = '(' .. ARGV[1]
local moved = redis.call('ZRANGEBYSCORE', leases_key, first, '+inf', 'WITHSCORES',
  'LIMIT', 0, ARGV[2])
if #moved == 2 * ARGV[2] then
  moved = redis.call('ZRANGEBYSCORE', leases_key, first, moved[#moved], 'WITHSCORES')
end
for i = 1, #moved, 2 do
  local length = redis.call('HGET', record_key(moved[i]), 'l') or '0'
  answer[#answer + 1] = {moved[i], tonumber(moved[i + 1]), tonumber(length)}
end
return answer
