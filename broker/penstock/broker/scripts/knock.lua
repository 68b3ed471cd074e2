#!lua
-- Tell one worker something by its bell. Only a hint: a lost one costs a heartbeat.
--
-- Guarantees: a bell holds few hints, and goes with its worker, whoever dies meanwhile.
--
-- KEYS  1 bell of the worker
-- ARGV  1 hint  2 life of the bell (ms)
-- Returns 1
redis.call('LPUSH', KEYS[1], ARGV[1])
redis.call('LTRIM', KEYS[1], 0, 31)
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
