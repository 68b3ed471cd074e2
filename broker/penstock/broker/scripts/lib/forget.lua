-- Remove an ended job and all that is its own. An id whose record is past its TTL may have been
-- submitted anew, and a foreign key may stand there; then only the old entry goes.
local function forget(id, state)
  redis.call('ZREM', ended_key(state), id)
  if (redis.pcall('HGET', record_key(id), 's') or state) ~= state then return end
  local _, kept = kept_of_type(id, state)
  if kept then redis.call('ZREM', kept, id) end
  redis.call('DEL', record_key(id), payload_key(id), result_key(id), checkpoint_key(id), log_key(id))
end
