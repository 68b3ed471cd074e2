-- How far the group of a stream has read: nothing at or before it will be delivered any more. Claims
-- delete what they read, in one script; so an entry that was read past was read by somebody else.
local function parts(entry)
  local ms, sequence = string.match(entry, '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(sequence)
end

local read_up_to = {}
local function is_read_past(stream, entry)
  if not read_up_to[stream] then
    read_up_to[stream] = '0-0'
    local groups = redis.pcall('XINFO', 'GROUPS', stream)
    for _, group in ipairs(groups.err and {} or groups) do
      for i = 1, #group, 2 do
        if group[i] == 'last-delivered-id' then read_up_to[stream] = group[i + 1] end
      end
    end
  end
  local read_ms, read_sequence = parts(read_up_to[stream])
  local ms, sequence = parts(entry)
  return ms < read_ms or (ms == read_ms and sequence <= read_sequence)
end

-- The first entry of a stream as {entry, {'j', id}}, if it was read past; else nil.
local function first_read_past(stream)
  local first = redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)[1]
  return first and is_read_past(stream, first[1]) and first or nil
end
