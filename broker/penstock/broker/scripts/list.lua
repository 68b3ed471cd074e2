#!lua flags=no-writes
-- Walk over one structure of a slot: a stream, the held, the due set, the leases, or a retention set.
--
-- The order is that of the structure, so of retention sets: who is forgotten first; or its reverse.
--
-- Guarantees: whoever stays in the structure comes up, whatever else moves. Jobs that move may come
-- up again. A job is told only where its record says that it is.
--
-- KEYS  1 slot
-- ARGV  1 structure: h | d | l | held | due | lease | D | F | C | E  2 position: '' to begin, else as
--       returned  3 most jobs to look at (at most 1,000)  4 type, or '' for all
--       5 1 to walk a set from its end, else 0
-- Returns {next position or '', jobs looked at, {id, {name, value, ...}}...}
--#include lib/slot.lua
--#include lib/walk.lua
local structure, position, most, wanted = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local backwards = ARGV[5] == '1'

local function walk_stream()
  local from = position == '' and '-' or '(' .. position
  local entries = redis.call('XRANGE', stream_key(structure), from, '+', 'COUNT', most)
  local ids = {}
  for i, entry in ipairs(entries) do ids[i] = entry[2][2] end
  return ids, entries[most] and entries[most][1] or ''
end

local state = ({h = 'Q', d = 'Q', l = 'Q', held = 'Q', due = 'S', lease = 'R'})[structure] or structure
local ids, next_position
if state == 'Q' and structure ~= 'held' then
  ids, next_position = walk_stream()
else
  local set = ({Q = held_key, S = due_key, R = leases_key})[state] or ended_key(state)
  ids, next_position = walk_set(set, position, most, backwards)
end
local answer = {next_position, #ids}
for _, id in ipairs(ids) do
  local record = fields_of(id, 's', 't')
  if record.s == state and (wanted == '' or wanted == record.t) then
    answer[#answer + 1] = {id, redis.call('HGETALL', record_key(id))}
  end
end
return answer
