#!lua
-- A worker process says that it has free slots. It must look for jobs once more after this call:
-- one that was queued just before rang for nobody.
--
-- KEYS  1 bell of the worker  2... idle sets of the queues that it serves
-- ARGV  1 worker id
-- Returns 1
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for i = 2, #KEYS do
  redis.call('ZADD', KEYS[i], now, ARGV[1])
  redis.call('PEXPIRE', KEYS[i], 60000)
end
return 1
