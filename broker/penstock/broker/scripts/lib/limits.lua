-- The limits of this slot: its share of what the policies of its queue say (limit.lua writes them).
-- Where there are none, the hash is missing. Its fields:
--   running        most jobs RUNNING at once
--   kept:D kept:F  most jobs kept that succeeded; that ended otherwise, in each such state
--   types kept     present if a type has limits of what is kept
--   'type NAME'    'digest running kept-D kept-F' of one job type, - where there is no limit
--   v fp           version of the policies; fingerprint of the limits of the whole queue
local slot_limits
local function limit_of_slot(name)
  if not slot_limits then
    slot_limits = {}
    if redis.call('EXISTS', limits_key) == 0 then return nil end
    local names = {'running', 'kept:D', 'kept:F', 'types kept'}
    for i, value in ipairs(redis.call('HMGET', limits_key, unpack(names))) do
      slot_limits[names[i]] = value and tonumber(value)
    end
  end
  return slot_limits[name]
end

-- Of a packed field of a type: digest, running, {D = ..., F = ...}; nil where there is no limit.
local function parse_limits(packed)
  local digest, running, succeeded, failed =
    string.match(packed or '', '^(%w+) (%S+) (%S+) (%S+)$')
  if not digest then return nil end
  return digest, tonumber(running), {D = tonumber(succeeded), F = tonumber(failed)}
end

-- Most jobs of a job's type that are kept in a terminal state, and the set of them; or nil.
local function kept_of_type(id, state)
  if not limit_of_slot('types kept') then return nil end
  local type = redis.call('HGET', record_key(id), 't')
  local digest, _, kept = parse_limits(type and redis.call('HGET', limits_key, 'type ' .. type))
  local most = digest and kept[state == 'D' and 'D' or 'F']
  if most then return most, kept_key(digest, state) end
end
