-- The leases that were granted or renewed after a tick, with tick and length; all of one tick.
local function moved_leases(tick, most)
  local found = {}
  local first = '(' .. tick
  local moved = redis.call('ZRANGEBYSCORE', leases_key, first, '+inf', 'WITHSCORES',
    'LIMIT', 0, most)
  if #moved == 2 * most then
    moved = redis.call('ZRANGEBYSCORE', leases_key, first, moved[#moved], 'WITHSCORES')
  end
  for i = 1, #moved, 2 do
    local length = redis.call('HGET', record_key(moved[i]), 'l') or '0'
    found[#found + 1] = {moved[i], tonumber(moved[i + 1]), tonumber(length)}
  end
  return found
end
