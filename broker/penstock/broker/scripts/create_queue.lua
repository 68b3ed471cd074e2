#!lua
-- Create a queue, or find it. The number of partitions is fixed by whoever comes first.
--
-- Guarantees: two names never share a code; the number of queues is bounded.
--
-- KEYS  1 queues of the namespace
-- ARGV  1 name  2 code  3 partitions  4 most queues
-- Returns {'found' | 'created', 'code partitions created_ms'} | {'full'} | {'collision', other name}
local found = redis.call('HGET', KEYS[1], ARGV[1])
if found then return {'found', found} end
if redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[4]) then return {'full'} end
local queues = redis.call('HGETALL', KEYS[1])
for i = 1, #queues, 2 do
  if string.sub(queues[i + 1], 1, #ARGV[2] + 1) == ARGV[2] .. ' ' then
    return {'collision', queues[i]}
  end
end
local time = redis.call('TIME')
local entry = ARGV[2] .. ' ' .. ARGV[3] .. ' ' .. time[1] * 1000
redis.call('HSET', KEYS[1], ARGV[1], entry)
return {'created', entry}
