#!lua flags=allow-oom
-- Renew the mark of a walk, end it, or take it away where the walk was not made, and others may begin.
--
-- Guarantees: the mark of another walker is left alone. A full server takes it all the same.
--
-- KEYS  1 mark of the walk
-- ARGV  1 name of the walker  2 'walking', 'walked' or '' for none  3 life of the mark (ms)
-- Returns 1 if the mark was this walker's, else 0
if redis.call('GET', KEYS[1]) ~= 'walking ' .. ARGV[1] then return 0 end
if ARGV[2] == 'walking' then
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
elseif ARGV[2] == 'walked' then
  redis.call('SET', KEYS[1], 'walked', 'PX', ARGV[3])
else
  redis.call('DEL', KEYS[1])
end
return 1
