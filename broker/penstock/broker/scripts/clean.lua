#!lua flags=allow-oom
-- Forget the ended jobs of one state that ended long enough ago, before their retention is over.
-- Removes all of a job's keys.
--
-- Guarantees: only jobs that ended in that state, and that are as old and of the type that was asked
-- for; bounded. Ids are learned from the retention set; keys are built from the slot.
--
-- KEYS  1 slot
-- ARGV  1 state: D | F | C | E  2 position: '' to begin, else as returned
--       3 most jobs to look at (at most 100)  4 type, or '' for all  5 age since the end (ms)
-- Returns {next position or '', jobs looked at, jobs forgotten}
--#include lib/slot.lua
--#include lib/limits.lua
--#include lib/forget.lua
--#include lib/walk.lua
local state, wanted = ARGV[1], ARGV[4]
local before = now_ms() - tonumber(ARGV[5])
local ids, next_position = walk_set(ended_key(state), ARGV[2], tonumber(ARGV[3]))
local forgotten = 0
for _, id in ipairs(ids) do
  local record = fields_of(id, 's', 't', 'e')
  local meant = record.s == state and tonumber(record.e) <= before
  if meant and (wanted == '' or wanted == record.t) then
    forget(id, state)
    forgotten = forgotten + 1
  end
end
return {next_position, #ids, forgotten}
