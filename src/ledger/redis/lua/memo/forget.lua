-- Removes memos that are still to be forgotten. KEYS: partition, its memos by name, by when they are due, by when they are to be forgotten, then the memos.
-- ARGV from the second: their names.
local at = unpack(F.now, now)
for i = 5, #KEYS do
  local stored, name = call('GETRANGE', KEYS[i], 0, L.memo - 1), ARGV[i - 3]
  local _, _, forget_at = unpack(F.memo, #stored == L.memo and stored or F.no_memo)
  if forget_at <= at then
    for j = 2, 4 do
      call('ZREM', KEYS[j], name)
    end
    call('UNLINK', KEYS[i])
  end
end
return { now }
