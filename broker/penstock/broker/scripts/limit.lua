#!lua flags=allow-oom
-- Put down the limits of a slot, in place of those that it had: its share of a queue's policies.
--
-- Guarantees: what is older than what stands there changes nothing, unless it is meant to replace just
-- that; repeating it is safe. Jobs that run already count under a limit that is new (the 10,000 whose
-- leases moved last; the rest as they end). Nobody who is parked is lost: a type without a limit is
-- kept in mind until the last of its parked jobs is granted.
-- Ids are learned from leases and gates; keys are built from the slot.
--
-- KEYS  1 slot
-- ARGV  1 fingerprint that it replaces, or '*': whatever is not newer  2 version of the policies
--       3 fingerprint of the limits, '' where there are none
--       4 most RUNNING or ''  5 most kept that succeeded or ''  6 most kept that ended otherwise or ''
--       7... per type: name, digest, 'running kept-D kept-F' (- is no limit)
-- Returns 1 if they stand there now, else 0: what stands there is newer, or not what is replaced
--#include lib/slot.lua
--#include lib/limits.lua
local replaces, version, fingerprint = ARGV[1], ARGV[2], ARGV[3]
local stands = redis.call('HMGET', limits_key, 'fp', 'v')
if replaces == '*' then
  if tonumber(stands[2] or 0) > tonumber(version) then return 0 end
elseif replaces ~= (stands[1] or '') then
  return 0
end

local fields, wanted = {}, {}
local function set(name, value)
  if value ~= '' then fields[#fields + 1], fields[#fields + 2] = name, value end
end
set('running', ARGV[4])
set('kept:D', ARGV[5])
set('kept:F', ARGV[6])
for i = 7, #ARGV, 3 do
  local type, packed = ARGV[i], ARGV[i + 1] .. ' ' .. ARGV[i + 2]
  wanted[type] = packed
  set('type ' .. type, packed)
  local _, _, kept = parse_limits(packed)
  if kept.D or kept.F then wanted['types kept'] = true end
end
if wanted['types kept'] then set('types kept', 1) end

-- What was limited before and is so no more.
local before = redis.call('HGETALL', limits_key)
local gated_before = {}
for i = 1, #before, 2 do
  local type = string.match(before[i], '^type (.*)$')
  local digest, running, kept = parse_limits(type and before[i + 1])
  if digest then
    gated_before[type] = running
    local _, _, keep = parse_limits(wanted[type])
    for _, state in ipairs({'D', 'F', 'C', 'E'}) do
      local group = state == 'D' and 'D' or 'F'
      if kept[group] and not (keep and keep[group]) then
        redis.call('DEL', kept_key(digest, state))
      end
    end
    if not wanted[type] and redis.call('EXISTS', parked_key(digest)) == 1 then
      set(before[i], digest .. ' - - -')
    end
  end
end

-- Whoever runs already takes a place at a gate that is new.
local function count_running()
  for _, id in ipairs(redis.call('ZREVRANGE', leases_key, 0, 9999)) do
    local record = fields_of(id, 's', 't', 'gt')
    local digest, running = parse_limits(record.t and wanted[record.t])
    if record.s == 'R' and running and not record.gt then
      redis.call('SADD', gate_key(digest), id)
      redis.call('HSET', record_key(id), 'gt', digest)
    end
  end
end

redis.call('DEL', limits_key)
if fingerprint ~= '' then set('fp', fingerprint) end
if #fields > 0 then redis.call('HSET', limits_key, 'v', version, unpack(fields)) end
for type, packed in pairs(wanted) do
  local _, running = parse_limits(packed ~= true and packed)
  if running and not gated_before[type] then
    count_running()
    break
  end
end
return 1
