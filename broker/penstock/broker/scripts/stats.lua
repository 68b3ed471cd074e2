#!lua flags=no-writes
-- Count the jobs of a slot.
--
-- KEYS  1 slot
-- Returns {now (ms), waiting high, default, low, scheduled, running, succeeded, failed, cancelled,
--          expired, arrival of the oldest waiting job (ms) or -1, jobs ended in the last minute,
--          {counter, value, ...}}
--#include lib/slot.lua
local now = now_ms()
local answer = {now}
local oldest = -1
for _, priority in ipairs({'h', 'd', 'l'}) do
  answer[#answer + 1] = redis.call('XLEN', stream_key(priority))
  local first = redis.call('XRANGE', stream_key(priority), '-', '+', 'COUNT', 1)[1]
  -- A stream entry's id begins with the time at which it was added.
  local arrival = first and tonumber(string.match(first[1], '^%d+'))
  if arrival and (oldest < 0 or arrival < oldest) then oldest = arrival end
end
answer[#answer + 1] = redis.call('ZCARD', due_key)
answer[#answer + 1] = redis.call('ZCARD', leases_key)
for _, state in ipairs({'D', 'F', 'C', 'E'}) do
  answer[#answer + 1] = redis.call('ZCARD', ended_key(state))
end
local ended = 0
-- Six whole buckets of 10 s; the one that is being filled is left out.
for back = 1, 6 do
  ended = ended + tonumber(redis.call('GET', finished_key(math.floor(now / 10000) - back)) or 0)
end
answer[#answer + 1] = oldest
answer[#answer + 1] = ended
answer[#answer + 1] = redis.call('HGETALL', slot)
return answer
