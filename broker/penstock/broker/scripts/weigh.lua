#!lua flags=allow-oom
-- See what is missing in a slot, before a walk over its records and after it.
--
-- Guarantees: what a walk could not find is asked for no more: records that were deleted by hand, and
-- entries of foreign hands, those that nobody will read at the head of a stream; bounded.
--
-- KEYS  1 slot
-- ARGV  1 '' before a walk; after it, what this returned before, or 'since' where it put jobs back
-- Returns how many jobs are missing, or below 0, how many entries are too many
--#include lib/slot.lua
--#include lib/balance.lua
--#include lib/read_past.lua
local now_missing = missing()
if ARGV[1] == '' then return now_missing end

for _, priority in ipairs({'h', 'd', 'l'}) do
  local stream = stream_key(priority)
  for _ = 1, 100 do
    local first = first_read_past(stream)
    local record = first and fields_of(first[2][2], 's', 'x')
    if not first or (record.s == 'Q' and record.x == first[1]) then break end
    redis.call('XACK', stream, 'workers', first[1])
    redis.call('XDEL', stream, first[1])
  end
end
-- As it was before the walk: nothing can be done about it. Else somebody is still at it.
if now_missing == tonumber(ARGV[1]) then redis.call('HSET', slot, 'adrift', missing()) end
return now_missing
