#!lua flags=allow-oom
-- Put schedules back on the list of ids, as their hashes say.
--
-- Guarantees: an id that is on the list stays as it is; later claims have higher numbers.
--
-- KEYS  1 schedules of the namespace
-- ARGV  schedule id, claim, queue, ... (at most 100 schedules)
-- Returns {how many were put back, schedule id, claim, queue, entry on the list of another queue, ...}
local answer, highest = {0}, tonumber(redis.call('HGET', KEYS[1], '#') or 0)
for i = 1, #ARGV, 3 do
  local id, claim, queue = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  answer[1] = answer[1] + redis.call('HSETNX', KEYS[1], id, claim .. ' ' .. queue)
  local entry = redis.call('HGET', KEYS[1], id)
  if string.match(entry, ' (.*)$') ~= queue then
    for _, part in ipairs({id, claim, queue, entry}) do answer[#answer + 1] = part end
  end
  highest = math.max(highest, tonumber(claim))
end
redis.call('HSET', KEYS[1], '#', string.format('%.0f', highest))
return answer
