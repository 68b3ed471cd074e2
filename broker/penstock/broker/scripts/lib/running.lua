--#include lib/limits.lua
-- Out of RUNNING: the lease ends, and with it the place under the limits of its queue and its type.
-- The record must carry gt. Returns 1 if another job may be granted for that, else 0; whoever called
-- the script rings then.
local function leave_leases(id, record)
  redis.call('ZREM', leases_key, id)
  if record.gt then
    redis.call('SREM', gate_key(record.gt), id)
    redis.call('HDEL', record_key(id), 'gt')
    if redis.call('EXISTS', parked_key(record.gt)) == 1 then return 1 end
  end
  return limit_of_slot('running') and 1 or 0
end
