-- The result cache, as a submit sees it. An entry (a string: 'id generations') stands for the newest
-- job that was submitted to fill it. Who reads it holds its generations against those of now.

-- Longer than a job lives: an end within it sets the entry's own life.
local longest_life_ms = 31622400000

-- A longer result (bytes) is fetched by itself.
local longest_told = 65536

-- A policy from its packed form: 'digest generations ttl retention-of-a-hit what', where what holds
-- r to read, w to write, and t to tell the result of a hit. '' is none.
local function cache_policy(packed)
  local digest, generations, ttl, retention, what =
    string.match(packed, '^(%w+) (%w+) (%d+) (%d+) (%a+)$')
  if not digest then return {} end
  return {
    digest = digest,
    generations = generations,
    ttl = ttl,
    retention = retention,
    reads = string.find(what, 'r'),
    writes = string.find(what, 'w'),
    tells = string.find(what, 't'),
  }
end

-- The job that answers a submit: one under way, or (field e) one that succeeded lately enough.
local function cached_job(policy, now)
  local entry = redis.call('GET', cache_key(policy.digest))
  local id, generations = string.match(entry or '', '^(%w+) (%w+)$')
  if generations ~= policy.generations then return nil end
  local job = fields_of(id, 's', 'e', 'ca', 'cr', 'dl', 'r', 'rl', 'rc')
  -- Under its id, another job may have been submitted since.
  if not job.ca or string.match(job.ca, '^%w+') ~= policy.digest then return nil end
  if job.e and (job.s ~= 'D' or now - job.e >= tonumber(policy.ttl)) then return nil end
  if job.cr and not job.e then return nil end
  -- Nobody has expired it yet, but it will not run any more.
  local waits = job.s == 'Q' or job.s == 'S'
  if waits and job.dl and tonumber(job.dl) <= now then return nil end
  if job.e then job.result = job.r or redis.call('GET', result_key(id)) end
  if job.e and not job.result then return nil end
  job.id = id
  return job
end

-- From now on, a new job is what equal submits meet.
local function take_entry(id, policy)
  redis.call('HSET', record_key(id), 'ca', policy.digest .. ' ' .. policy.ttl)
  redis.call('SET', cache_key(policy.digest), id .. ' ' .. policy.generations,
    'PX', longest_life_ms + tonumber(policy.ttl))
end

-- End a job that has just been stored with another's result. Nothing -> SUCCEEDED
local function answer_from(source, id, policy, now, payload_apart)
  local more = {'cf', source.id, 'rs', policy.retention, 'rc', source.rc}
  if source.rl then
    redis.call('SET', result_key(id), source.result, 'PX', policy.retention)
    more[7], more[8] = 'rl', 1
  else
    more[7], more[8] = 'r', source.result
  end
  finish(id, {rs = policy.retention, pl = payload_apart}, now, 'D', '', 'cache_hits', more)
end
