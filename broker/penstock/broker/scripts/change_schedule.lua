#!lua flags=allow-oom
-- Change a schedule: its definition, its pause, or what it waits for.
--
-- Guarantees: only the version that the caller has read is changed; a firing under way is then void.
-- Also on a full server, where a pause may be what is needed; gateways turn away updates before that.
--
-- KEYS  1 slot
-- ARGV  1 schedule  2 version  3 occurrence to wait for (ms), '' for none, '-' as before
--       4 when to look at it (ms)  5 'spec': the template is replaced, too; 'same': nothing is, it is
--       only seen whether the version still stands; or ''
--       6... fields: name, value, ... ('' removes one)
-- Returns 1 if it was changed, or is as it should be, 0 if the version is another, or there is no schedule
--#include lib/slot.lua
--#include lib/schedule.lua
local id, key = ARGV[1], schedule_key(ARGV[1])
if redis.call('HGET', key, 'v') ~= ARGV[2] then return 0 end
if ARGV[5] == 'same' then return 1 end
if ARGV[5] == 'spec' then
  for _, name in ipairs(redis.call('HKEYS', key)) do
    if string.sub(name, 1, 1) == 'j' then redis.call('HDEL', key, name) end
  end
end
for i = 6, #ARGV, 2 do
  if ARGV[i + 1] == '' then
    redis.call('HDEL', key, ARGV[i])
  else
    redis.call('HSET', key, ARGV[i], ARGV[i + 1])
  end
end
redis.call('HSET', key, 'v', ARGV[2] + 1, 'u', now_ms())
if ARGV[3] ~= '-' then await(id, ARGV[3], ARGV[4]) end
return 1
