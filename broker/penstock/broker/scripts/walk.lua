#!lua flags=allow-oom
-- Begin a walk over all records, unless another is under way, or one was made lately.
--
-- Guarantees: a walker that vanishes holds nobody off for longer than its mark lives, also where the
-- date goes back: a mark that has longer to live than it was given counts for nothing. Nobody is held
-- off by a mark of his own: it could not be taken away.
--
-- KEYS  1 mark of the walk
-- ARGV  1 life of the mark while its walk is under way (ms)  2 life of the mark of a walk that was made
--       (ms)  3 age at which such a mark holds nobody off (ms)  4 name of the walker
-- Returns 'walk', and marks the rest of it; or what stands against it: 'walking' or 'walked'
local mark, left = redis.call('GET', KEYS[1]), redis.call('PTTL', KEYS[1])
-- Versions without names left none, and do not heed ours: two walks at once do no harm.
local walker = mark and string.match(mark, '^walking ?(.*)$')
if walker and walker ~= ARGV[4] and left <= tonumber(ARGV[1]) then return 'walking' end
local age = tonumber(ARGV[2]) - left
if mark == 'walked' and age >= 0 and age < tonumber(ARGV[3]) then return 'walked' end
redis.call('SET', KEYS[1], 'walking ' .. ARGV[4], 'PX', ARGV[1])
return 'walk'
