#!lua flags=allow-oom
-- Forget ended jobs whose retention is over, or that are too many. Removes all of a job's keys.
--
-- Guarantees: only jobs that ended in the state of their set; those that are too many by a policy are
-- kept for a grace all the same. Bounded. Ids are learned from the retention sets; keys are built
-- from the slot.
--
-- KEYS  1 slot
-- ARGV  1 most jobs to forget (at most 100)  2 most jobs to keep per terminal state  3 grace (ms)
-- Returns {jobs forgotten, ms until the next retention ends, or -1}
--#include lib/slot.lua
--#include lib/limits.lua
--#include lib/forget.lua
local now, grace = now_ms(), tonumber(ARGV[3])
local left, keep = tonumber(ARGV[1]), tonumber(ARGV[2])
local forgotten, next_end = 0, -1

-- The types that have limits of what is kept.
local function types_kept()
  local types = {}
  if not limit_of_slot('types kept') then return types end
  local limits = redis.call('HGETALL', limits_key)
  for i = 1, #limits, 2 do
    if string.sub(limits[i], 1, 5) == 'type ' then
      local digest, _, kept = parse_limits(limits[i + 1])
      types[#types + 1] = {digest = digest, kept = kept}
    end
  end
  return types
end

-- The first so many of a set: those who are certain to go, then those who have had their grace.
local function forget_first(set, state, certain, count)
  count = math.min(left, math.max(certain, count))
  if count < 1 then return end
  for i, id in ipairs(redis.call('ZRANGE', set, 0, count - 1)) do
    local ended = i > certain and tonumber(redis.pcall('HGET', record_key(id), 'e'))
    if not ended or ended + grace <= now then
      forget(id, state)
      left, forgotten = left - 1, forgotten + 1
    end
  end
end

for _, state in ipairs({'D', 'F', 'C', 'E'}) do
  local ended = ended_key(state)
  local there = redis.call('ZCARD', ended)
  local over = redis.call('ZCOUNT', ended, '-inf', now)
  local most = limit_of_slot(state == 'D' and 'kept:D' or 'kept:F')
  forget_first(ended, state, math.max(over, there - keep), most and there - most or 0)
  local oldest = redis.call('ZRANGE', ended, 0, 0, 'WITHSCORES')[2]
  if oldest then
    local wait = math.max(0, oldest - now)
    next_end = (next_end < 0) and wait or math.min(next_end, wait)
  end
end
for _, type in ipairs(types_kept()) do
  for _, state in ipairs({'D', 'F', 'C', 'E'}) do
    local kept, most = kept_key(type.digest, state), type.kept[state == 'D' and 'D' or 'F']
    if most then
      redis.call('ZREMRANGEBYSCORE', kept, '-inf', now)
      forget_first(kept, state, 0, redis.call('ZCARD', kept) - most)
    end
  end
end
return {forgotten, next_end}
