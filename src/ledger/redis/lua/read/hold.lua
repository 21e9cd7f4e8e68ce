-- A hold (nothing when it is not there), then the fields of the account's settings. KEYS: partition, settings, hold.
local found = { now, call('GET', KEYS[3]) }
for _, field in ipairs(call('HKEYS', KEYS[2])) do
  found[#found + 1] = field
end
return found
