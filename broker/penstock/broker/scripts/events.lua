#!lua flags=no-writes
-- The events of a job after a sequence.
--
-- Guarantees: bounded, also in bytes (2 MB more than asked for, where no line is longer than 256 KB).
--
-- KEYS  1 slot
-- ARGV  1 id  2 sequence seen last  3 most events  4 bytes at which a page is long enough
-- Returns {state, newest sequence, sequence of the first line, line...} | {}: no such job
--         a first sequence beyond the one asked for means that those between were trimmed
--#include lib/slot.lua
--#include lib/events.lua
local lines_a_look = 8
local id, after, most, page_bytes = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local head = fields_of(id, 's', 'n', 'lt')
if not head.s then return {} end
local answer = {head.s, tonumber(head.n), after + 1}
if head.lt then
  local trimmed = tonumber(head.lt)
  local first = math.max(after, trimmed)
  answer[3] = first + 1
  local told, bytes, look = 0, 0, 1
  while told < most and bytes < page_bytes do
    local from = first - trimmed + told
    local count = math.min(look, most - told)
    local lines = redis.call('LRANGE', log_key(id), from, from + count - 1)
    for _, line in ipairs(lines) do
      answer[#answer + 1] = line
      bytes = bytes + #line
    end
    told = told + #lines
    if #lines < count then break end
    -- As many as will do if they are like those before, and not many more than those.
    local fit = math.floor((page_bytes - bytes) * told / bytes)
    look = math.max(1, math.min(2 * look, lines_a_look, fit))
  end
else
  local lines = plain_life(fields_of(id, unpack(plain_fields)))
  for i = after + 1, math.min(after + most, #lines) do answer[#answer + 1] = lines[i] end
end
return answer
