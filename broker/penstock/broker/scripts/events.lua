#!lua flags=no-writes
-- The events of a job after a sequence.
--
-- Guarantees: bounded, also in bytes (3 MB, where no line is longer than 256 KB).
--
-- KEYS  1 slot
-- ARGV  1 id  2 sequence seen last  3 most events; fewer are told if they are long
-- Returns {state, newest sequence, sequence of the first line, line...} | {}: no such job
--         a first sequence beyond the one asked for means that those between were trimmed
--#include lib/slot.lua
--#include lib/events.lua
local page_bytes, lines_a_look = 1048576, 8
local id, after, most = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local head = fields_of(id, 's', 'n', 'lt')
if not head.s then return {} end
local answer = {head.s, tonumber(head.n), after + 1}
if head.lt then
  local trimmed = tonumber(head.lt)
  local first = math.max(after, trimmed)
  answer[3] = first + 1
  local told, bytes = 0, 0
  while told < most and bytes < page_bytes do
    local from = first - trimmed + told
    local count = math.min(lines_a_look, most - told)
    local lines = redis.call('LRANGE', log_key(id), from, from + count - 1)
    for _, line in ipairs(lines) do
      answer[#answer + 1] = line
      bytes = bytes + #line
    end
    told = told + #lines
    if #lines < count then break end
  end
else
  local lines = plain_life(fields_of(id, unpack(plain_fields)))
  for i = after + 1, math.min(after + most, #lines) do answer[#answer + 1] = lines[i] end
end
return answer
