-- Names of the slot's keys, all derived from KEYS[1]; the mirror of keys.py, which describes them.
local slot = KEYS[1]
local function record_key(id) return slot .. ':j:' .. id end
local function payload_key(id) return slot .. ':p:' .. id end
local function result_key(id) return slot .. ':r:' .. id end
local function checkpoint_key(id) return slot .. ':k:' .. id end
local function log_key(id) return slot .. ':e:' .. id end
local function stream_key(priority) return slot .. ':s:' .. priority end
local function ended_key(state) return slot .. ':z:' .. state end
local function idempotency_key(digest) return slot .. ':i:' .. digest end
local function cache_key(digest) return slot .. ':c:' .. digest end
local function finished_key(bucket) return slot .. ':t:' .. bucket end
local function schedule_key(id) return slot .. ':y:' .. id end
local function buried_key(id) return slot .. ':b:' .. id end
local function gate_key(digest) return slot .. ':gate:' .. digest end
local function parked_key(digest) return slot .. ':park:' .. digest end
local function kept_key(digest, state) return slot .. ':kept:' .. digest .. ':' .. state end
local function channel_of(id) return slot .. ':w:' .. id end
local due_key = slot .. ':due'
local leases_key = slot .. ':lease'
local deadlines_key = slot .. ':dl'
local schedules_key = slot .. ':sched'
local paused_key = slot .. ':paused'
local limits_key = slot .. ':limits'
local held_key = slot .. ':held'

-- The server's clock, in ms.
local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Fields of a record by name; a missing one is false.
local function fields_of(id, ...)
  local values = redis.call('HMGET', record_key(id), ...)
  local fields = {}
  for i, name in ipairs({...}) do fields[name] = values[i] end
  return fields
end
