#!lua flags=allow-oom
-- The handler returned. RUNNING -> SUCCEEDED
--
-- Guarantees: only the holder of the newest grant ends the attempt, once; repeating it is safe.
--
-- KEYS  1 slot
-- ARGV  1 id  2 fencing token  3 content type of the result  4 result  5 longest result that
--       stays in the record (bytes)
-- Returns {'accepted', state, jobs to ring for} | {'repeated', state} | {'stale', state or ''}
--#include lib/slot.lua
--#include lib/events.lua
--#include lib/fence.lua
--#include lib/finish.lua
--#include lib/running.lua
local id, result = ARGV[1], ARGV[4]
local record = fields_of(id, 's', 'f', 'a', 'lt', 'rt', 'rs', 'pl', 'ck', 'ca', 'gt')
local refused = refusal(record, ARGV[2])
if refused then return refused end

local now = now_ms()
local rings = leave_leases(id, record)
local more = {'rc', ARGV[3]}
if #result <= tonumber(ARGV[5]) then
  more[3], more[4] = 'r', result
else
  redis.call('SET', result_key(id), result, 'PX', retention_of(record, 'D'))
  more[3], more[4] = 'rl', 1
end
finish(id, record, now, 'D', '', 'succeeded', more)
return {'accepted', 'D', rings}
