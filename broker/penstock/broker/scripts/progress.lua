#!lua
-- Append events of a running attempt: progress, chunks of output, lines of log.
--
-- Guarantees: only the holder of the newest grant writes; all of one call or nothing; numbered in
-- order; the last report repeated is stored once. The log is capped.
--
-- KEYS  1 slot
-- ARGV  1 id  2 fencing token  3 number of the report in this attempt  then per event (1 to 100):
--       'p', current, total, message | 'c', data | 'l', 'level message'
-- Returns {'stored', sequence, 1 if a cancel is requested else 0} | {'stale' | 'repeated', state}
--#include lib/slot.lua
--#include lib/events.lua
--#include lib/fence.lua
local id, token = ARGV[1], ARGV[2]
local record = fields_of(id, 's', 'f', 'a', 'cr', 'n', 'rn')
local refused = refusal(record, token)
if refused then return refused end
local cancel = record.cr and 1 or 0
local report = token .. ' ' .. ARGV[3]
if record.rn == report then return {'stored', tonumber(record.n), cancel} end

open_log(id)
local now = now_ms()
local lines = {}
local i = 4
while i <= #ARGV do
  local kind, data = ARGV[i], ARGV[i + 1]
  i = i + 2
  if kind == 'p' then
    local total, message = ARGV[i], ARGV[i + 1]
    redis.call('HSET', record_key(id), 'pc', data, 'pt', total, 'pm', message)
    data = data .. ' ' .. total .. ' ' .. message
    i = i + 2
  end
  lines[#lines + 1] = now .. ' ' .. kind .. ' ' .. record.a .. ' ' .. data
end
append(id, lines)
local sequence = redis.call('HINCRBY', record_key(id), 'n', #lines)
redis.call('HSET', record_key(id), 'rn', report)
redis.call('SPUBLISH', channel_of(id), sequence)
return {'stored', sequence, cancel}
