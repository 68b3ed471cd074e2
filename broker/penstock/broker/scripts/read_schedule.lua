#!lua flags=no-writes
-- A schedule as it stands.
--
-- KEYS  1 slot
-- ARGV  1 schedule  2 'brief': without a payload that is too long for a record, or ''
-- Returns {now (ms), {name, value, ...}}: no fields if there is none
--#include lib/slot.lua
local key = schedule_key(ARGV[1])
if ARGV[2] == '' then return {now_ms(), redis.call('HGETALL', key)} end
local flat = {}
for _, name in ipairs(redis.call('HKEYS', key)) do
  if name ~= 'jl' then
    flat[#flat + 1] = name
    flat[#flat + 1] = redis.call('HGET', key, name)
  end
end
return {now_ms(), flat}
