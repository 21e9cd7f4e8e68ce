-- Names of memos whose time has come, the earliest first, each after its time. KEYS: partition, memos by that time; then, if those to be forgotten are to
-- be left out, memos by when they are. ARGV[2]: how many at most.
local at, found = unpack(F.now, now), { now }
for _, name in ipairs(call('ZRANGEBYSCORE', KEYS[2], '-inf', string.format('%d', at), 'LIMIT', 0, ARGV[2])) do
  local forget_at = KEYS[3] and call('ZSCORE', KEYS[3], name)
  if not forget_at or tonumber(forget_at) > at then
    found[#found + 1], found[#found + 2] = string.format('%d', call('ZSCORE', KEYS[2], name)), name
  end
end
return found
