#!lua flags=allow-oom
-- Count the jobs that wait in a slot: QUEUED, held ones included, and SCHEDULED.
--
-- Guarantees: changes nothing.
--
-- KEYS  1 slot
-- Returns the number
--#include lib/slot.lua
--#include lib/depth.lua
return depth()
