-- Accounts in the order in which they were made. KEYS: partition, the list. ARGV[2], ARGV[3]: the first's and the last's place, from 0.
local found = { now }
for i, id in ipairs(call('LRANGE', KEYS[2], ARGV[2], ARGV[3])) do
  found[i + 1] = id
end
return found
