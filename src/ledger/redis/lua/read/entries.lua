-- An account's entries, newest first, each as two texts. KEYS: partition, account, journal, settings. ARGV[2]: begin at this entry, 0 for the last;
-- ARGV[3]: at most so many. A call's entries are one item of the stream, under the number of the last.
local found, count, most = { now }, 0, tonumber(ARGV[3])
local seq = tonumber(ARGV[2])
if seq == 0 then
  local stored = call('GET', KEYS[2])
  if stored and #stored ~= L.account then
    return R.damaged .. 'the account has another length'
  elseif not stored and call('EXISTS', KEYS[4]) == 1 then
    return R.damaged .. 'the account is missing'
  end
  local a = stored and { unpack(F.account, stored) }
  seq = a and a[A.last_entry] or 0
end
while seq > 0 and count < most do
  local item = call('XRANGE', KEYS[3], string.format('%d-0', seq), '+', 'COUNT', 1)[1]
  local fields, line = item and item[2] or {}, nil
  for i = 3, #fields, 4 do
    local _, at, _, previous = unpack(F.entry, fields[i + 1])
    if at == seq then
      line = true
      found[#found + 1], found[#found + 2] = fields[i + 1], fields[i + 3]
      count, seq = count + 1, previous
      break
    end
  end
  if not line then
    return R.damaged .. string.format('entry %d is missing', seq)
  end
end
return found
