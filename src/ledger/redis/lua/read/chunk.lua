-- Some accounts as they stand at one instant, each as: hot record, the record of live grants, plan, caps, reasons, how many adjustments are known, then
-- the ended grants; empty texts for what is not there; the last is a text for what has a time to live and must not. The partition's record comes first.
-- KEYS: partition, then of each account its hot record, grants, settings, ended grants and adjustments.
local found = { now, partition }
for i = 2, #KEYS, 5 do
  local account, grants, settings, ended, adjusted = list(KEYS, i, i + 4)
  local values, fields = call('MGET', account, grants), call('HMGET', settings, 'p', 'l', 'r')
  local one = { values[1] or '', values[2] or '', fields[1] or '', fields[2] or '', fields[3] or '' }
  one[6] = tostring(call('HLEN', adjusted))
  for j, grant in ipairs(call('HVALS', ended)) do
    one[j + 6] = grant
  end
  local mortal = ''
  for _, key in ipairs({ account, grants, settings, ended, adjusted }) do
    mortal = call('PTTL', key) >= 0 and key or mortal
  end
  one[#one + 1] = mortal
  found[#found + 1] = one
end
return found
