-- Memos, in order, until they have so many bytes; an empty text for one that is not there. KEYS: partition, then the memos. ARGV[2]: how many bytes.
local found, bytes = { now }, 0
for i = 2, #KEYS do
  if bytes >= tonumber(ARGV[2]) then
    break
  end
  found[i] = call('GET', KEYS[i]) or ''
  bytes = bytes + #found[i]
end
return found
