-- The leases that were granted or renewed after a tick, with tick and length; all of one tick. Where
-- there is no record, or a foreign key, the length is 0: who looks takes such a lease back at once.
local function moved_leases(tick, most)
  local found = {}
  local first = '(' .. tick
  local moved = redis.call('ZRANGEBYSCORE', leases_key, first, '+inf', 'WITHSCORES',
    'LIMIT', 0, most)
  if #moved == 2 * most then
    moved = redis.call('ZRANGEBYSCORE', leases_key, first, moved[#moved], 'WITHSCORES')
  end
  for i = 1, #moved, 2 do
    local length = redis.pcall('HGET', record_key(moved[i]), 'l')
    found[#found + 1] = {moved[i], tonumber(moved[i + 1]), tonumber(length) or 0}
  end
  return found
end
