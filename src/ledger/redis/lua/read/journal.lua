-- Items of the journal, each as: the chain before it, then its entries, two texts each, as one list. KEYS: partition, journal.
-- ARGV[2]: from this entry on; ARGV[3]: until there are so many entries. The partition's record comes first. A busy proxy's items are of many
-- entries each, so few are taken at a time.
local found, from, left = { now, partition }, ARGV[2], tonumber(ARGV[3])
while left > 0 do
  local items = call('XRANGE', KEYS[2], from .. '-0', '+', 'COUNT', 16)
  for _, item in ipairs(items) do
    found[#found + 1] = item[2]
    left = left - math.max(1, (#item[2] - 2) / 4)
  end
  if #items < 16 then
    break
  end
  from = string.format('%d', tonumber(string.match(items[16][1], '^%d+')) + 1)
end
return found
