-- An account's settings with its keys: field, value, field, value. KEYS: partition, settings.
local found = { now }
for i, text in ipairs(call('HGETALL', KEYS[2])) do
  found[i + 1] = text
end
return found
