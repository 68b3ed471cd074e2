-- A walk over a sorted set in steps. A position is 'score id': members of one score are in the order
-- of their ids. Returns at most so many ids from a position on ('' is the beginning), and the next
-- position, '' at the end. Whoever stays in the set comes up, whatever else moves or goes.
local function walk_set(key, position, most, backwards)
  local score, after = string.match(position, '^(%S+) (%S+)$')
  local skip = 0
  if after then
    -- Where the member is still there its rank leads on; else begin again at its score.
    if redis.call('ZSCORE', key, after) == score then
      skip = redis.call(backwards and 'ZREVRANK' or 'ZRANK', key, after) + 1
    elseif backwards then
      skip = redis.call('ZCOUNT', key, '(' .. score, '+inf')
    else
      skip = redis.call('ZCOUNT', key, '-inf', '(' .. score)
    end
  end
  local range = backwards and 'ZREVRANGE' or 'ZRANGE'
  local pairs_of = redis.call(range, key, skip, skip + most - 1, 'WITHSCORES')
  local ids = {}
  for i = 1, #pairs_of, 2 do ids[#ids + 1] = pairs_of[i] end
  local last = pairs_of[2 * most] and (pairs_of[2 * most] .. ' ' .. ids[most]) or ''
  return ids, last
end
