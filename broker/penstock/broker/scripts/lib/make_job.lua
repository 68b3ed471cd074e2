-- Make a job of a schedule: of its template, the fields j.*, with further fields of the record. A job
-- that is there already is left alone. Returns its state, and whether it was made now.
local function make_job(schedule, id, now, ...)
  local known = redis.call('HGET', record_key(id), 's')
  if known then return known, false end
  local flat = redis.call('HGETALL', schedule_key(schedule))
  local own, record = {}, {...}
  for i = 1, #flat, 2 do
    local name, value = flat[i], flat[i + 1]
    if string.sub(name, 1, 2) == 'j.' then
      record[#record + 1] = string.sub(name, 3)
      record[#record + 1] = value
    else
      own[name] = value
    end
  end
  local deadline = own.je and now + own.je
  local state = store(id, now, own.jh, own.jp, now, deadline, own.jl or '', unpack(record))
  redis.call('HSET', schedule_key(schedule), 'lj', id, 'lr', now)
  return state, true
end
