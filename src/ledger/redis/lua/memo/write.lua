-- Writes a memo, if it still has the version before its new one. KEYS: partition, memo, the partition's memos by name, by when they are due, by when they
-- are to be forgotten. ARGV[2]: the record as it shall be; ARGV[3]: its name.
-- Replies 'done', also where the record is there already; else 'changed' and the record that is there, if there is one.
local at, there = unpack(F.now, now), call('GET', KEYS[2])
local version, due, forget_at = unpack(F.memo, ARGV[2])
local known = 0
if there then
  if #there < L.memo then
    return R.damaged .. 'the memo is too short'
  end
  local was, _, forgotten_at = unpack(F.memo, there)
  if forgotten_at > at then
    known = was
  else
    there = nil
  end
end
if there == ARGV[2] then
  return { now, 'done' }
elseif known ~= version - 1 then
  return { now, 'changed', there }
end

local function list_by(key, time)
  if time < M.max and forget_at > at then
    call('ZADD', key, string.format('%d', time), ARGV[3])
  else
    call('ZREM', key, ARGV[3])
  end
end
list_by(KEYS[4], due)
list_by(KEYS[5], forget_at)
if forget_at > at then
  call('ZADD', KEYS[3], 0, ARGV[3])
  call('SET', KEYS[2], ARGV[2])
else
  call('ZREM', KEYS[3], ARGV[3])
  call('UNLINK', KEYS[2])
end
return { now, 'done' }
