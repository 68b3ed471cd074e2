#!lua
-- Save data for the job's next attempt, in place of what was saved before.
--
-- Guarantees: only the holder of the newest grant writes.
--
-- KEYS  1 slot
-- ARGV  1 id  2 fencing token  3 data
-- Returns {'stored'} | {'stale' | 'repeated', state}
--#include lib/slot.lua
--#include lib/fence.lua
local id = ARGV[1]
local refused = refusal(fields_of(id, 's', 'f'), ARGV[2])
if refused then return refused end
redis.call('SET', checkpoint_key(id), ARGV[3])
redis.call('HSET', record_key(id), 'ck', 1)
return {'stored'}
