#!lua flags=allow-oom
-- Forget the versions of schemas that no worker has registered for long.
--
-- Guarantees: the newest version of each type stays, however old, so that a fleet that is scaled to
-- zero still has its types; so does a schema that another type has as well.
--
-- KEYS  1 types of the namespace  2 schemas of the namespace
-- ARGV  1 versions that were registered before this are old (ms)
-- Returns how many versions were forgotten
local flat = redis.call('HGETALL', KEYS[1])
local versions, newest = {}, {}
for i = 1, #flat, 2 do
  local name, digest = string.match(flat[i], '^(.*) ([^ ]*)$')
  local at = tonumber(flat[i + 1])
  versions[#versions + 1] = {field = flat[i], name = name, digest = digest, at = at}
  newest[name] = math.max(newest[name] or 0, at)
end
local forgotten, used = {}, {}
for _, version in ipairs(versions) do
  if version.at < tonumber(ARGV[1]) and version.at < newest[version.name] then
    redis.call('HDEL', KEYS[1], version.field)
    forgotten[#forgotten + 1] = version.digest
  else
    used[version.digest] = true
  end
end
for _, digest in ipairs(forgotten) do
  if not used[digest] then redis.call('HDEL', KEYS[2], digest) end
end
return #forgotten
