-- Items of the journal, each as: the chain before it, then its entries, two texts each, as one list. KEYS: partition, journal.
-- ARGV[2]: from this entry on; ARGV[3]: at most so many items. The partition's record comes first.
local found = { now, partition }
for _, item in ipairs(call('XRANGE', KEYS[2], ARGV[2] .. '-0', '+', 'COUNT', ARGV[3])) do
  found[#found + 1] = item[2]
end
return found
