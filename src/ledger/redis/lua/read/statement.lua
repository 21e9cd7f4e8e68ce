-- An account with its grants: hot record, settings, the record of live grants, then the ended grants one by one; empty texts for what is not there of them,
-- nothing for an account that is not there.
-- KEYS: partition, account, settings, grants, ended grants.
local settings = call('HMGET', KEYS[3], 'p', 'l', 'r')
local found = { now, call('GET', KEYS[2]), settings[1] or '', settings[2] or '', settings[3] or '', call('GET', KEYS[4]) or '' }
for _, ended in ipairs(call('HVALS', KEYS[5])) do
  found[#found + 1] = ended
end
return found
