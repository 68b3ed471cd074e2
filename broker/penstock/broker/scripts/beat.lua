#!lua flags=allow-oom
-- A process that keeps house says that it is alive, and asks who else is.
--
-- Guarantees: also on a full server; a process that was silent is taken off only if it has not said
-- anything since, and is back with its next beat. The list goes with the last who keeps it.
--
-- KEYS  1 keepers of the namespace
-- ARGV  1 id  2 life of the list (ms)  then id, beat, id, beat, ...: those who were silent
-- Returns {id, beat, id, beat, ...}
for i = 3, #ARGV, 2 do
  if redis.call('HGET', KEYS[1], ARGV[i]) == ARGV[i + 1] then redis.call('HDEL', KEYS[1], ARGV[i]) end
end
redis.call('HINCRBY', KEYS[1], ARGV[1], 1)
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return redis.call('HGETALL', KEYS[1])
