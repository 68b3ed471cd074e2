--#include lib/held.lua
-- Out of whatever structure a waiting job (QUEUED or SCHEDULED) is in. The record must carry s, pr, x,
-- hd and dl.
local function leave_queue(id, record)
  if record.hd then
    unpark(id, record.hd)
  elseif record.s == 'Q' then
    redis.call('XDEL', stream_key(record.pr or 'd'), record.x)
  else
    redis.call('ZREM', due_key, id)
  end
  if record.dl then redis.call('ZREM', deadlines_key, id) end
end
