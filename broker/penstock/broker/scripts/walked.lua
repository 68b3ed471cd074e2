#!lua flags=allow-oom
-- End a walk: mark it as made, or take its mark away where it was not, and others are to walk at once.
--
-- Guarantees: the mark of another walker is left alone. A full server takes it all the same.
--
-- KEYS  1 mark of the walk
-- ARGV  1 name of the walker  2 life of the mark (ms), or 0 to take it away
-- Returns 1 if the mark was this walker's, else 0
if redis.call('GET', KEYS[1]) ~= 'walking ' .. ARGV[1] then return 0 end
if ARGV[2] == '0' then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], 'walked', 'PX', ARGV[2])
end
return 1
