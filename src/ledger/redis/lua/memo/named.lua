-- Names of memos in a range, in their order. KEYS: partition, memos by name. ARGV[2], ARGV[3]: the range; ARGV[4]: how many at most.
local found = { now }
for i, name in ipairs(call('ZRANGEBYLEX', KEYS[2], ARGV[2], ARGV[3], 'LIMIT', 0, ARGV[4])) do
  found[i + 1] = name
end
return found
