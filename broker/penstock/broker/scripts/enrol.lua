#!lua
-- Claim a schedule's id for a queue, before the schedule is stored there or is deleted.
--
-- Guarantees: an id belongs to one queue; every claim has a higher number than all before, also those
-- that the server has lost, since it is made of the clock; the number of schedules is bounded. A claim
-- without a schedule means nothing.
--
-- KEYS  1 schedules of the namespace
-- ARGV  1 schedule id  2 queue  3 most schedules  4 entry that may be taken over from another queue
-- Returns {'enrolled', claim} | {'elsewhere', entry of the other queue} | {'full'}
local entry = redis.call('HGET', KEYS[1], ARGV[1])
if entry and entry ~= ARGV[4] and string.match(entry, ' (.*)$') ~= ARGV[2] then
  return {'elsewhere', entry}
end
-- The field of the last claim is one of them.
if not entry and redis.call('HLEN', KEYS[1]) > tonumber(ARGV[3]) then return {'full'} end
local time = redis.call('TIME')
local last = tonumber(redis.call('HGET', KEYS[1], '#') or 0)
local claim = math.max(last + 1, time[1] * 1000000 + time[2])
local text = string.format('%.0f', claim)
redis.call('HSET', KEYS[1], '#', text, ARGV[1], text .. ' ' .. ARGV[2])
return {'enrolled', claim}
