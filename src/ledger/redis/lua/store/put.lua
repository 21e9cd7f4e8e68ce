-- Puts records in the place of what is there, for a rebuild or a copy: only for who knows the stamp of a store that is closed to everybody else.
-- KEYS: partition, then what is written. ARGV from the second, one for each; its first byte says how, fields follow, each after its length:
-- = a text (what follows), ~ one that Redis forgets as it does claims, # a hash's fields and values, > an item at a place of a list which is its end, @ scores and members of a sorted set,
-- + an item of a stream (its number, then fields and values), - nothing. The same call again changes nothing.
local function fields(text)
  local found, at = {}, 2
  while at <= #text do
    found[#found + 1], at = unpack('<I4c0', text, at)
  end
  return found
end

-- Whether the stream has come to this number.
local function has(key, number)
  local last = call('XREVRANGE', key, '+', '-', 'COUNT', 1)[1]
  return last and tonumber(string.match(last[1], '^%d+')) >= tonumber(number)
end

for i = 2, #KEYS do
  local key, text = KEYS[i], ARGV[i]
  local kind, found = string.sub(text, 1, 1), nil
  if kind == '=' then
    call('SET', key, string.sub(text, 2))
  elseif kind == '~' then
    call('SET', key, string.sub(text, 2), 'PX', string.format('%d', M.claim_kept))
  elseif kind == '>' then
    found = fields(text)
    if call('LLEN', key) == tonumber(found[1]) then
      call('RPUSH', key, found[2])
    end
  elseif kind == '+' then
    found = fields(text)
    if not has(key, found[1]) then
      call('XADD', key, found[1] .. '-0', list(found, 2))
    end
  else
    if kind == '#' or kind == '-' then
      call('DEL', key)
    end
    found = fields(text)
    for j = 1, #found, 2 do
      call(kind == '#' and 'HSET' or 'ZADD', key, found[j], found[j + 1])
    end
  end
end
return { now }
