#!lua flags=allow-oom
-- A worker begins to run a suspect, alone: a crash from now on is held against the job.
--
-- Guarantees: only the holder of the newest grant says so; repeating it is safe.
--
-- KEYS  1 slot
-- ARGV  1 id  2 fencing token
-- Returns {'begun'} | {'repeated', state} | {'stale', state or ''}
--#include lib/slot.lua
--#include lib/fence.lua
local id = ARGV[1]
local refused = refusal(fields_of(id, 's', 'f'), ARGV[2])
if refused then return refused end
redis.call('HDEL', record_key(id), 'sw')
return {'begun'}
