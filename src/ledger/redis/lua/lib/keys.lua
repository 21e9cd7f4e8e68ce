-- Scripts about one account alone: after the journal come its ended grants, its past days, its settings and keys, its adjustments, and the
-- partition's list of accounts. What is to be done with them waits until the entries are written.
local ended, days, settings, adjusted, index = list(KEYS, records + 2)

local function later(p, kind, command, key, ...)
  local found = call('TYPE', key).ok
  if found ~= kind and found ~= 'none' then
    error(key .. ' is of another type: ' .. found, 0)
  end
  p[P.after] = p[P.after] or {}
  p[P.after][#p[P.after] + 1] = { command, key, ... }
end
