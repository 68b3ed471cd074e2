#!lua
-- Make a job of a schedule now, beside its occurrences. -> QUEUED
--
-- Guarantees: repeating it never makes a second job; nothing is written for who is refused.
--
-- KEYS  1 slot
-- ARGV  1 schedule  2 claim that the schedule was stored under  3 id of the job
--       4 most jobs that may wait in the slot, or ''
--       5... what a policy says of the job: name, value, ...
-- Returns {'created' | 'repeated', state} | {'gone'}: there is no such schedule
--         {'full', depth, limit}: so many jobs wait that this one may not
--#include lib/slot.lua
--#include lib/events.lua
--#include lib/queue.lua
--#include lib/depth.lua
--#include lib/store.lua
--#include lib/make_job.lua
local key = schedule_key(ARGV[1])
if redis.call('HGET', key, 'cl') ~= ARGV[2] then return {'gone'} end
local full = full_at(ARGV[4])
if full and redis.call('EXISTS', record_key(ARGV[3])) == 0 then return {'full', full, ARGV[4]} end
local state, made = make_job(ARGV[1], ARGV[3], now_ms(), nil, 5)
if made then redis.call('HINCRBY', key, 'nt', 1) end
return {made and 'created' or 'repeated', state}
