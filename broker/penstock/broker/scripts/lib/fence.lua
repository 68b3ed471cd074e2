-- Whose attempt is it? A write by a worker is accepted only from the holder of the newest grant of
-- a job that is still RUNNING. A lost lease raises the token, so a token that still stands on a job
-- that is not RUNNING was used up by its own holder: then the caller repeats a write that was
-- accepted, and is told so with the state it led to.
local function refusal(record, token)
  if record.f ~= token then
    redis.call('HINCRBY', slot, 'stale', 1)
    return {'stale', record.s or ''}
  end
  if record.s ~= 'R' then return {'repeated', record.s} end
  return nil
end

-- A new token for a job, above all that were ever given in this slot: a job that is stored anew
-- under its old id does not begin again at 1, where an old worker's token would fit. It is made of the
-- clock (us), so that tokens that the server has lost, in a crash, are not given again either. Where
-- the clock was set back they go on by one.
local last_token
local function raise_token(id, now)
  last_token = last_token or tonumber(redis.call('HGET', slot, 'token') or 0)
  local of_job = tonumber(redis.call('HGET', record_key(id), 'f') or 0)
  last_token = math.max(last_token + 1, of_job + 1, now * 1000)
  local token = string.format('%.0f', last_token)
  redis.call('HSET', slot, 'token', token)
  redis.call('HSET', record_key(id), 'f', token)
  return token
end
