#!lua flags=allow-oom
-- A worker process says that it has free slots. It must look for jobs once more after this call:
-- one that was queued just before rang for nobody.
--
-- Guarantees: workers that are long dead are dropped, so that the sets stay as small as the fleet.
--
-- KEYS  1 bell of the worker  2... idle sets of the queues that it serves
-- ARGV  1 worker id
-- Returns 1
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for i = 2, #KEYS do
  redis.call('ZREMRANGEBYSCORE', KEYS[i], '-inf', now - 60000)
  redis.call('ZADD', KEYS[i], now, ARGV[1])
  redis.call('PEXPIRE', KEYS[i], 60000)
end
return 1
