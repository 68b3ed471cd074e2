-- Events of a job. The record counts them (field n). A job whose life was plain so far has no log:
-- its events are told from the record. The log (a list, one line an event) begins, with the events
-- up to then, when there is more to tell. A line is: time_ms kind attempt data. The data of a state
-- is why; that of S begins with the time at which the job is due.

-- Lines of a plain life: SCHEDULED?, QUEUED?, RUNNING?, terminal? Of a cache hit: terminal.
local plain_fields = {'s', 'c', 'd0', 'du', 'q', 'st', 'e', 'a', 'cr', 'ft', 'fm', 'cf'}
local function plain_life(record)
  local lines = {}
  local attempt = record.a or '0'
  if record.d0 then lines[1] = record.c .. ' S 0 ' .. record.du .. ' ' end
  if record.q or not (record.d0 or record.cf) then lines[#lines + 1] = (record.q or record.c) .. ' Q 0 ' end
  if record.st then lines[#lines + 1] = record.st .. ' R ' .. attempt .. ' ' end
  if record.e then
    local why = ''
    -- A job may succeed although its cancel was requested, and then nobody was told why.
    if record.s == 'C' then why = record.cr end
    if (record.s == 'F' or record.s == 'E') and record.ft then
      why = record.ft .. ': ' .. record.fm
    end
    lines[#lines + 1] = record.e .. ' ' .. record.s .. ' ' .. attempt .. ' ' .. why
  end
  return lines
end

-- Put lines at the end of a log. While it holds too many of them, or too many bytes, the oldest go.
local most_lines, most_bytes = 10000, 16777216
local function append(id, lines)
  local key, log, bytes, gone = record_key(id), log_key(id), 0, 0
  for _, line in ipairs(lines) do bytes = bytes + #line end
  bytes = redis.call('HINCRBY', key, 'lb', bytes)
  local length = redis.call('RPUSH', log, unpack(lines))
  while length - gone > most_lines or bytes > most_bytes do
    bytes = bytes - #redis.call('LPOP', log)
    gone = gone + 1
  end
  if gone > 0 then
    redis.call('HSET', key, 'lb', bytes)
    redis.call('HINCRBY', key, 'lt', gone)
  end
end

-- Begin the log if there is none, with what happened before. Call it before the record changes.
local function open_log(id)
  if redis.call('HSETNX', record_key(id), 'lt', 0) == 1 then
    append(id, plain_life(fields_of(id, unpack(plain_fields))))
  end
end

-- Count an event and wake watchers; keep its line where the job has a log.
local function tell(id, has_log, now, kind, attempt, data)
  local sequence = redis.call('HINCRBY', record_key(id), 'n', 1)
  if has_log then append(id, {now .. ' ' .. kind .. ' ' .. attempt .. ' ' .. data}) end
  redis.call('SPUBLISH', channel_of(id), sequence)
end
