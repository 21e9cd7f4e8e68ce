-- All records of one account: its hot record, the record of live grants, then as lists of fields and values the ended grants, days, settings with keys,
-- and adjustments; then texts, as one list. What is not there, or is of another type, is empty.
-- KEYS: partition, account, grants, ended grants, days, settings, adjustments, then texts (holds, gauges).
local function read(command, key, none)
  local found = redis.pcall(command, key)
  return found and not (type(found) == 'table' and found.err) and found or none
end

local found = { now, read('GET', KEYS[2], ''), read('GET', KEYS[3], '') }
for i = 4, 7 do
  found[i] = read('HGETALL', KEYS[i], {})
end
found[8] = {}
for i = 8, #KEYS do
  found[8][i - 7] = read('GET', KEYS[i], '')
end
return found
