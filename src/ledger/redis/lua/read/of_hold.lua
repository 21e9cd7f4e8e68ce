-- The entries that tell of a hold, newest first, each as two texts; nothing when the hold is not remembered.
-- KEYS: partition, hold, journal.
local found, seq = { now }, 0
local stored = call('GET', KEYS[2])
if stored and #stored == L.hold then
  local h = { unpack(F.hold, stored) }
  seq = h[H.last]
end
while seq > 0 do
  local item = call('XRANGE', KEYS[3], string.format('%d-0', seq), '+', 'COUNT', 1)[1]
  local fields, link = item and item[2] or {}, nil
  for i = 3, #fields, 4 do
    local line = { unpack(F.entry, fields[i + 1]) }
    if line[2] == seq then
      link = line[9]
      found[#found + 1], found[#found + 2] = fields[i + 1], fields[i + 3]
    end
  end
  if not link then
    return R.damaged .. string.format('entry %d is missing', seq)
  end
  seq = link
end
return found
