--#include lib/leave.lua
-- End a waiting job, ask a running one to stop (the first reason stands), leave an ended one alone.
-- Returns its state after that, or '' if it is not there, and the worker to be told, or ''.
local function cancel(id, reason)
  local record = fields_of(id, 's', 'x', 'hd', 'pr', 'dl', 'w', 'a', 'lt', 'rt', 'pl', 'ck', 'ca')
  if not record.s then return '', '' end
  if record.s == 'R' then
    redis.call('HSETNX', record_key(id), 'cr', reason)
    return 'R', record.w
  end
  if record.s == 'Q' or record.s == 'S' then
    leave_queue(id, record)
    finish(id, record, now_ms(), 'C', reason, 'cancelled', {'cr', reason})
    return 'C', ''
  end
  return record.s, ''
end
