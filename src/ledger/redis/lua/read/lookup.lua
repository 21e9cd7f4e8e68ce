-- Records that are texts, one after the other; nothing for one that is not there. KEYS: partition, then the records. (Whose a key's digest is: its
-- account and id.)
local found = { now }
for i = 2, #KEYS do
  found[i] = call('GET', KEYS[i])
end
return found
