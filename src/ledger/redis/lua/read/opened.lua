-- Holds that entries tell the opening or an extension of, as they are named in the list of holds to visit: account, colon, the id's bytes.
-- KEYS: partition, journal. ARGV[2]: F.range: from this entry on, up to that one, only those written before a time, until so many entries were
-- looked at. Replies how far it came, then the names. A busy proxy's items are of many entries each, so few are taken at a time.
local from, upto, before, left = unpack(F.range, ARGV[2])
local cursor, names = from - 1, { now, '' }

-- Takes an item's entries; whether to go on after it.
local function take(fields)
  for i = 3, #fields, 4 do
    local kind, seq, _, _, time = unpack(F.entry, fields[i + 1])
    if seq > upto or time >= before then
      return false
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
  left = left - math.max(1, (#fields - 2) / 4)
  return left > 0
end

local going = left > 0
while going do
  local items = call('XRANGE', KEYS[2], string.format('%d-0', cursor + 1), '+', 'COUNT', 16)
  going = #items == 16
  for _, item in ipairs(items) do
    if not take(item[2]) then
      going = false
      break
    end
  end
end
names[2] = pack(F.cursor, cursor)
return names
