#!lua
-- A worker publishes the versions of the schemas of its job types, or says that it still has them.
--
-- Guarantees: no version is ever without its schema.
--
-- KEYS  1 types of the namespace  2 schemas of the namespace
-- ARGV  1 now (ms)  2... type, digest and JSON of the schema, as often as there are types
-- Returns 1
for i = 2, #ARGV, 3 do
  redis.call('HSET', KEYS[2], ARGV[i + 1], ARGV[i + 2])
  redis.call('HSET', KEYS[1], ARGV[i] .. ' ' .. ARGV[i + 1], ARGV[1])
end
return 1
