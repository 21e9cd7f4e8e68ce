-- Gives a partition another stamp, so that nobody else's calls do anything in it any more. A record that is not whole is made anew.
-- KEYS: partition. ARGV: the head, the record of an empty partition with that stamp. Replies a list: the record that was there, or an empty text;
-- or, where a later generation was here already, one answer alone.
local stored = redis.call('TYPE', KEYS[1]).ok == 'string' and redis.call('GET', KEYS[1])
local whole = stored and #stored == L.part
local stamp = struct.unpack(F.part, ARGV[2])
if whole then
  local was = struct.unpack(F.part, stored)
  if was > stamp and math.floor(was / 1048576) == math.floor(stamp / 1048576) then
    return R.stamp
  end
end
redis.call('DEL', KEYS[1])
redis.call('SET', KEYS[1], whole and string.sub(ARGV[2], 1, 7) .. string.sub(stored, 8) or ARGV[2])
return { whole and stored or '' }
