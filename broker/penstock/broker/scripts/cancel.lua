#!lua flags=allow-oom
-- Cancel a job. SCHEDULED | QUEUED -> CANCELLED; RUNNING is flagged, and its worker told.
--
-- Guarantees: a terminal job does not change; repeating it is safe (the first reason stands).
--
-- KEYS  1 slot
-- ARGV  1 id  2 reason
-- Returns {state after the call, worker id or ''} | {'', ''}: no such job
--#include lib/slot.lua
--#include lib/events.lua
--#include lib/finish.lua
--#include lib/cancel.lua
local state, worker = cancel(ARGV[1], ARGV[2])
return {state, worker}
