-- The frame of scripts that only read. KEYS: the partition's record, then what is read. ARGV: the head, then numbers.
-- Replies a list whose first item tells the time and the journal's last entry; or one answer (R) alone.
local call, pack, unpack, list = redis.call, struct.pack, struct.unpack, unpack
local function refused()
  local stored = call('GET', KEYS[1])
  if not stored or #stored ~= L.part then
    return R.lost
  end
  local stamp, seq, time = unpack(F.part, stored)
  if stamp ~= unpack(F.head, ARGV[1]) then
    return R.stamp
  end
  return nil, pack(F.now, clock > time and clock or time, seq), stored
end
local answer, now, partition = refused()
if answer then
  return answer
end
