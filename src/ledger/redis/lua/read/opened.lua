-- Holds that entries tell the opening or an extension of, as they are named in the list of holds to visit: account, colon, the id's bytes.
-- KEYS: partition, journal. ARGV[2]: F.range: from this entry on, up to that one, only those written before a time, at most so many items.
-- Replies how far it came, then the names: a few hundred, or less.
local from, upto, before, most = unpack(F.range, ARGV[2])
local cursor, names = from - 1, { now, '' }
for _, item in ipairs(call('XRANGE', KEYS[2], string.format('%d-0', from), '+', 'COUNT', most)) do
  local fields = item[2]
  for i = 3, #fields, 4 do
    local kind, seq, _, _, time = unpack(F.entry, fields[i + 1])
    if seq > upto or time >= before then
      names[2] = pack(F.cursor, cursor)
      return names
    end
    if seq >= from then
      local tail = fields[i + 3]
      local length = string.byte(tail)
      if kind == E.hold or kind == E.extend then
        names[#names + 1] = string.sub(tail, 2, 1 + length) .. ':' .. string.sub(tail, 3 + length, 18 + length)
      end
      cursor = seq
    end
  end
  if #names > M.names_max then
    break
  end
end
names[2] = pack(F.cursor, cursor)
return names
