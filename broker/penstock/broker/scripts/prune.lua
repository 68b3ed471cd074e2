#!lua flags=allow-oom
-- Forget ended jobs whose retention is over, or that are too many. Removes all of a job's keys.
--
-- Guarantees: only jobs that ended in the state of their set. An id whose record is past its TTL may
-- have been submitted anew; then only the old entry goes. Bounded. Ids are learned from the
-- retention sets; keys are built from the slot.
--
-- KEYS  1 slot
-- ARGV  1 most jobs to forget (at most 100)  2 most jobs to keep per terminal state
-- Returns {jobs forgotten, ms until the next retention ends, or -1}
--#include lib/slot.lua
local now = now_ms()
local left, keep = tonumber(ARGV[1]), tonumber(ARGV[2])
local forgotten, next_end = 0, -1
for _, state in ipairs({'D', 'F', 'C', 'E'}) do
  local ended = ended_key(state)
  local over = redis.call('ZCOUNT', ended, '-inf', now)
  local many = redis.call('ZCARD', ended) - keep
  local count = math.min(left, math.max(over, many))
  if count > 0 then
    for _, id in ipairs(redis.call('ZRANGE', ended, 0, count - 1)) do
      redis.call('ZREM', ended, id)
      if (redis.call('HGET', record_key(id), 's') or state) == state then
        redis.call('DEL', record_key(id), payload_key(id), result_key(id), checkpoint_key(id),
          log_key(id))
      end
    end
    left, forgotten = left - count, forgotten + count
  end
  local oldest = redis.call('ZRANGE', ended, 0, 0, 'WITHSCORES')[2]
  if oldest then
    local wait = math.max(0, oldest - now)
    next_end = (next_end < 0) and wait or math.min(next_end, wait)
  end
end
return {forgotten, next_end}
