#!lua flags=no-writes
-- What there is to do in a slot. Housekeepers begin every visit with it, and mostly end it there.
--
-- Guarantees: changes nothing; bounded. The leases of one tick (at most 100) come together, so that
-- the next look may begin after the last tick. Leases have no times: whoever calls holds one for
-- expired when it has not moved for its length by his own monotonic clock.
--
-- KEYS  1 slot
-- ARGV  1 tick seen last  2 most leases, but for the rest of the last tick
--       3 most ended jobs to keep per terminal state, or -1: leave retention and limits aside
--       4 fingerprint of the limits that the slot should have  5 1 to look at the books, too, else 0
-- Returns {newest tick, {{id, tick, lease (ms)}...}, {chore, ms until it is due, ...}}
--         a chore for which nothing waits is left out
--#include lib/slot.lua
--#include lib/leases.lua
--#include lib/limits.lua
--#include lib/balance.lua
--#include lib/read_past.lua
local now = now_ms()
local waiting = {}

local function note(chore, wait)
  if wait then
    waiting[#waiting + 1] = chore
    waiting[#waiting + 1] = wait
  end
end

local function wait_for_first(set)
  local first = redis.call('ZRANGE', set, 0, 0, 'WITHSCORES')[2]
  return first and math.max(0, first - now)
end

local function wait_for_retention(keep)
  local wait
  for _, state in ipairs({'D', 'F', 'C', 'E'}) do
    local first = wait_for_first(ended_key(state))
    local most = limit_of_slot(state == 'D' and 'kept:D' or 'kept:F')
    most = most and math.min(most, keep) or keep
    if first and redis.call('ZCARD', ended_key(state)) > most then first = 0 end
    if first and limit_of_slot('types kept') then first = 0 end
    wait = wait and first and math.min(wait, first) or wait or first
  end
  return wait
end

local function wait_for_limits(fingerprint)
  if (redis.call('HGET', limits_key, 'fp') or '') ~= fingerprint then return 0 end
end

local function wait_for_repair()
  local settled = tonumber(redis.call('HGET', slot, 'adrift') or 0)
  if missing() ~= settled then return 0 end
  for _, priority in ipairs({'h', 'd', 'l'}) do
    if first_read_past(stream_key(priority)) then return 0 end
  end
end

-- Each chore (see chores.py), with the set that is ordered by when it is due (ms).
note('promote', wait_for_first(due_key))
note('expire', wait_for_first(deadlines_key))
note('schedule', wait_for_first(schedules_key))
if ARGV[5] == '1' then note('repair', wait_for_repair()) end
local keep = tonumber(ARGV[3])
if keep >= 0 then note('prune', wait_for_retention(keep)) end
if keep >= 0 then note('limit', wait_for_limits(ARGV[4])) end

return {tonumber(redis.call('HGET', slot, 'tick') or 0), moved_leases(ARGV[1], ARGV[2]), waiting}
