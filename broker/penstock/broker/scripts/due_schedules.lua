#!lua flags=no-writes
-- The schedules that are to be looked at, with what it takes to work out what is to be done.
--
-- Guarantees: changes nothing; bounded. One where a foreign key stands has no fields.
--
-- KEYS  1 slot
-- ARGV  1 most schedules (at most 100)
-- Returns {now (ms), ms until the next one beyond these or -1,
--          {schedule, id, cl, v, nx, lt, tm, po, q, j.t}...}
--#include lib/slot.lua
local now, most = now_ms(), tonumber(ARGV[1])
local due = redis.call('ZRANGEBYSCORE', schedules_key, '-inf', now, 'LIMIT', 0, most)
local later = redis.call('ZRANGE', schedules_key, #due, #due, 'WITHSCORES')[2]
local none = {false, false, false, false, false, false, false, false, false}
local answer = {now, later and math.max(0, later - now) or -1}
for _, id in ipairs(due) do
  local fields = redis.pcall('HMGET', schedule_key(id), 'id', 'cl', 'v', 'nx', 'lt', 'tm', 'po', 'q',
    'j.t')
  answer[#answer + 1] = {id, unpack(fields.err and none or fields)}
end
return answer
