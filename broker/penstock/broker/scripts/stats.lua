#!lua flags=no-writes
-- Count the jobs of a slot.
--
-- KEYS  1 slot
-- Returns {now (ms), waiting high, default, low, scheduled, running, succeeded, failed, cancelled,
--          expired, arrival of the oldest waiting job (ms) or -1, jobs ended in the last minute,
--          {counter, value, ...}, held, {type, RUNNING, held, ...}}
--          held jobs are among the waiting, too; the last are the types with a limit of their own
--#include lib/slot.lua
--#include lib/limits.lua
--#include lib/held.lua
local now = now_ms()
local answer = {now}
local oldest = -1
local function note_arrival(arrival)
  if arrival and (oldest < 0 or arrival < oldest) then oldest = arrival end
end

for _, priority in ipairs({'h', 'd', 'l'}) do
  local low, high = band[priority], band[priority] + band.d - 1
  answer[#answer + 1] = redis.call('XLEN', stream_key(priority))
    + redis.call('ZCOUNT', held_key, low, high)
  local held = redis.call('ZRANGEBYSCORE', held_key, low, high, 'WITHSCORES', 'LIMIT', 0, 1)[2]
  note_arrival(held and math.floor((held - low) / 1000))
  local first = redis.call('XRANGE', stream_key(priority), '-', '+', 'COUNT', 1)[1]
  -- A stream entry's id begins with the time at which it was added.
  note_arrival(first and tonumber(string.match(first[1], '^%d+')))
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
answer[#answer + 1] = redis.call('ZCARD', held_key)
local types, limits = {}, redis.call('HGETALL', limits_key)
for i = 1, #limits, 2 do
  local type = string.match(limits[i], '^type (.*)$')
  local digest, most = parse_limits(type and limits[i + 1])
  if digest then
    local held = redis.call('ZCARD', parked_key(digest))
    if most or held > 0 then
      for _, value in ipairs({type, redis.call('SCARD', gate_key(digest)), held}) do
        types[#types + 1] = value
      end
    end
  end
end
answer[#answer + 1] = types
return answer
