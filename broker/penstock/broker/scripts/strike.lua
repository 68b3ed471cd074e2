#!lua flags=allow-oom
-- Take a schedule's id off the list, unless it was claimed anew.
--
-- KEYS  1 schedules of the namespace
-- ARGV  1 schedule id  2 entry as it was read
-- Returns 1 if it was taken off, else 0
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
return redis.call('HDEL', KEYS[1], ARGV[1])
