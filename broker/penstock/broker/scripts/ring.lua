#!lua
-- Wake about one idle worker per new job, those idle longest first. Only a hint: a lost one costs a
-- worker's poll interval, a superfluous one a look at an empty queue.
-- The bells of the workers found here are built from the tag of KEYS[1].
--
-- KEYS  1 base of the namespace  2 idle set of the queue
-- ARGV  1 new jobs  2 hint: 'queue-code:partition'  3 longest time since a worker said it was
--       idle (ms); older ones are taken for dead
-- Returns workers woken
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local woken = 0
-- The dead cost budget, too: a heap of them cannot hold the server.
for _ = 1, math.min(ARGV[1], 100) + 20 do
  if woken >= tonumber(ARGV[1]) then break end
  local idle = redis.call('ZPOPMIN', KEYS[2])
  if #idle == 0 then break end
  if now - tonumber(idle[2]) <= tonumber(ARGV[3]) then
    local bell = KEYS[1] .. ':bell:' .. idle[1]
    redis.call('LPUSH', bell, ARGV[2])
    redis.call('LTRIM', bell, 0, 31)
    redis.call('PEXPIRE', bell, 60000)
    woken = woken + 1
  end
end
return woken
