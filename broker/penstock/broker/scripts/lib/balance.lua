-- The books of a slot: every job that was ever stored has ended, or stands in one structure. What
-- foreign hands take out of a structure leaves a difference, which a few counts find.
local ends = {
  'succeeded', 'cache_hits', 'cancelled', 'expired',
  'failed:EXHAUSTED', 'failed:NON_RETRYABLE', 'failed:TIMED_OUT', 'failed:QUARANTINED',
}

-- Jobs that should stand in a structure, less those that do.
local function missing()
  local counts = redis.call('HMGET', slot, 'submitted', unpack(ends))
  local live = tonumber(counts[1] or 0)
  for i = 2, #counts do live = live - tonumber(counts[i] or 0) end
  for _, priority in ipairs({'h', 'd', 'l'}) do
    live = live - redis.call('XLEN', stream_key(priority))
  end
  for _, set in ipairs({due_key, leases_key, held_key}) do
    live = live - redis.call('ZCARD', set)
  end
  return live
end
