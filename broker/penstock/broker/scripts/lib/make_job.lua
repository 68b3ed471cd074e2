-- Make a job of a schedule: of its template, the fields j.*, and of what a policy says where that
-- leaves something open (a flat list from ARGV on: name, value, ...; pr is the priority). A job that
-- is there already is left alone. Returns its state, and whether it was made now.
local function make_job(schedule, id, now, occurrence, first_default)
  local known = redis.call('HGET', record_key(id), 's')
  if known then return known, false end
  local fields, own = {so = occurrence}, {}
  for i = first_default, #ARGV, 2 do fields[ARGV[i]] = ARGV[i + 1] end
  local flat = redis.call('HGETALL', schedule_key(schedule))
  for i = 1, #flat, 2 do
    local name, value = flat[i], flat[i + 1]
    if string.sub(name, 1, 2) == 'j.' then
      fields[string.sub(name, 3)] = value
      -- A retention that was asked for is that of every end.
      if name == 'j.rt' then fields.rs = nil end
    else
      own[name] = value
    end
  end
  local priority = own.jp or fields.pr or 'd'
  fields.pr = nil
  local record = {}
  for name, value in pairs(fields) do
    record[#record + 1] = name
    record[#record + 1] = value
  end
  local deadline = own.je and now + own.je
  local state = store(id, now, own.jh, priority, now, deadline, own.jl or '', unpack(record))
  redis.call('HSET', schedule_key(schedule), 'lj', id, 'lr', now)
  return state, true
end
