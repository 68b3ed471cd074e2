-- Do something for each of several ids. One where keys of another type stand in the way is left to its
-- fate, and the others are done. Returns those that failed: id, error, ...
local function for_each(ids, act)
  local failed = {}
  for _, id in ipairs(ids) do
    local done, failure = pcall(act, id)
    if not done then
      failed[#failed + 1] = id
      failed[#failed + 1] = type(failure) == 'table' and failure.err or tostring(failure)
    end
  end
  return failed
end
