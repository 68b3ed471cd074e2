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
