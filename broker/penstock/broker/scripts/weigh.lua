#!lua flags=allow-oom
-- See what is missing in a slot, before a walk over its records and after it.
--
-- Guarantees: what two walks could not find is asked for no more: records that were deleted by hand, and
-- entries of foreign hands, those that nobody will read at the head of a stream; bounded.
--
-- KEYS  1 slot
-- ARGV  1 '' before a walk; after it, the count from before it, or 'since' where it put jobs back
--       2 after a walk: the doubt from before it  3 and the walk's name, a number
-- Returns {how many jobs are missing, or below 0, how many entries are too many, doubt or ''}
--#include lib/slot.lua
--#include lib/balance.lua
--#include lib/read_past.lua
local now_missing = missing()
-- Numbers, since whoever asks for the slot's counters adds up all that is in its hash.
local doubted, doubter = unpack(redis.call('HMGET', slot, 'doubt', 'doubter'))
local doubt = doubted and doubter and doubted .. ' ' .. doubter or ''
if ARGV[1] == '' then return {now_missing, doubt} end

-- One whose record cannot be read, since a foreign key stands there, is nobody's.
local function is_of_its_job(entry)
  local is_read, record = pcall(fields_of, entry[2][2], 's', 'x')
  return is_read and record.s == 'Q' and record.x == entry[1]
end

for _, priority in ipairs({'h', 'd', 'l'}) do
  local stream = stream_key(priority)
  for _ = 1, 100 do
    local first = first_read_past(stream)
    if not first or is_of_its_job(first) then break end
    redis.call('XACK', stream, 'workers', first[1])
    redis.call('XDEL', stream, first[1])
  end
end

-- What two walks, one after the other, could not find is given up. After one, as many may be missing as
-- before it, and yet others: one was put back by a call whose answer was lost, or ended, and one was lost
-- behind the walk. So the first leaves a doubt, in its name, which the second must have met.
local left = missing()
if left == 0 then
  redis.call('HDEL', slot, 'adrift', 'doubt', 'doubter')
elseif left == tonumber(redis.call('HGET', slot, 'adrift')) or now_missing ~= tonumber(ARGV[1]) then
  redis.call('HDEL', slot, 'doubt', 'doubter')
elseif doubt ~= '' and doubt == ARGV[2] and left == tonumber(doubted) then
  redis.call('HSET', slot, 'adrift', left)
  redis.call('HDEL', slot, 'doubt', 'doubter')
else
  redis.call('HSET', slot, 'doubt', left, 'doubter', ARGV[3])
end
return {now_missing, doubt}
