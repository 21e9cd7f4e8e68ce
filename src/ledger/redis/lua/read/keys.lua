-- An account's settings with its keys: field, value, field, value. KEYS: partition, settings, account.
local found = { now }
for i, text in ipairs(call('HGETALL', KEYS[2])) do
  found[i + 1] = text
end
if #found == 1 and call('EXISTS', KEYS[3]) == 1 then
  return R.damaged .. 'the settings are missing'
end
return found
