-- Shape "batch": lean, and one stream entry per partition and call: its fields are the operations, their values the results.
-- The chain is taken once per partition and call over the operations' digests and results.
-- KEYS: the distinct records (partitions, accounts, holds or nothing), then the journals, then with BUCKET the buckets.
-- ARGV[1]: one byte how many records, then four bytes per operation (partition, account, hold, journal). Then blobs.
local call, pack, unpack, byte, sha1hex, format = redis.call, struct.pack, struct.unpack, string.byte, redis.sha1hex, string.format
local places = ARGV[1]
local records = byte(places)
local time = call('TIME')
local now = time[1] * 1000000 + time[2]
local floor = math.floor
local day = floor(now / 86400000000)
local z = day + 719468
local era = floor(z / 146097)
local doe = z - era * 146097
local yoe = floor((doe - floor(doe / 1460) + floor(doe / 36524) - floor(doe / 146096)) / 365)
local month = yoe * 12 + floor((5 * (doe - (365 * yoe + floor(yoe / 4) - floor(yoe / 100))) + 2) / 153)
local v = call('MGET', _G.unpack(KEYS, 1, records))
local changed, parts, out = {}, {}, {}
local ACCOUNT = '<BI4I4ddddI2dI2ddfI4I4ddd'
--#if BUCKET
local asked, held_in = {}, {}
for n = 2, #ARGV do
  local h = byte(places, n * 4 - 4)
  local list = asked[h]
  if not list then
    list = { 'HMGET', KEYS[records + h] }
    asked[h] = list
  end
  list[#list + 1] = ARGV[n]:sub(2, 17)
end
for h, list in pairs(asked) do
  local got, had = call(_G.unpack(list)), {}
  for i = 3, #list do had[list[i]] = got[i - 2] end
  asked[h], held_in[h] = had, { 'HSET', KEYS[records + h] }
end
--#end

for n = 2, #ARGV do
  local op = ARGV[n]
  local p, a, h, j = byte(places, n * 4 - 6, n * 4 - 3)
  local answer
  local t = parts[p]
  if not t then
    if not v[p] then return redis.error_reply('WIPED the partition has no record') end
    t = { unpack('<ddddc16', v[p]) }
    if now < t[4] then now = t[4] end
    t[6], t[7] = { 'XADD', KEYS[records + j], '' }, { t[5] }
    parts[p] = t
  end
  local kind, id, g, least, digest, most, ttl = unpack('<Bc16ddc8dd', op)
  --#if BUCKET
  local was = asked[h][id]
  --#end
  --#if !BUCKET
  local was = v[h]
  --#end
  if not v[a] then return redis.error_reply('ERR no such account') end
  local status, ver, open, bound, held, spent, tat, d, day_spent, m, month_spent, due, rate, burst, most_open, day_max, month_max, over
    = unpack(ACCOUNT, v[a])
  if t[2] ~= g then answer = 'stale'
  elseif now >= due then answer = 'due'
  else
    local amount, hold
    if d ~= day then d, day_spent = day, 0 end
    if m ~= month then m, month_spent = month, 0 end
    if kind == 1 then
      if tat < now then tat = now end
      local available = bound - spent - held
      if was then answer = 'again'
      elseif status ~= 0 then answer = 'paused'
      elseif tat - now > burst * 1000 then answer = 'rate'
      elseif most_open > 0 and open >= most_open then answer = 'open'
      elseif day_max > 0 and day_spent + held + least > day_max then answer = 'day'
      elseif month_max > 0 and month_spent + held + least > month_max then answer = 'month'
      elseif available < least then answer = 'credits'
      else
        amount = most > available and available or most
        held, open, tat = held + amount, open + 1, tat + rate
        hold = pack('<Bdddc8', 0, amount, t[3] + 1, now + ttl, digest)
      end
    elseif not was then answer = 'no hold'
    else
      local state, kept, opened, expires, first = unpack('<Bdddc8', was)
      if state ~= 0 then answer = 'closed'
      else
        amount = least
        if amount > kept then over = over + amount - kept end
        held, open, spent = held - kept, open - 1, spent + amount
        day_spent, month_spent = day_spent + amount, month_spent + amount
        hold = pack('<Bdddc8', 1, amount, t[3] + 1, now, first)
      end
    end
    if hold then
      local seq = t[3] + 1
      t[3] = seq
      v[a] = pack(ACCOUNT, status, ver + 1, open, bound, held, spent, tat, d, day_spent, m, month_spent, due, rate, burst,
        most_open, day_max, month_max, over)
      answer = pack('<Bdddd', 0, now, seq, amount, bound - spent - held)
      changed[a], changed[p] = true, true
      --#if BUCKET
      asked[h][id] = hold
      local list = held_in[h]
      local c = #list
      list[c + 1], list[c + 2] = id, hold
      --#end
      --#if !BUCKET
      v[h] = hold
      changed[h] = true
      --#end
      local add, links = t[6], t[7]
      local c = #add
      --#if PER_ENTRY
      call('XADD', add[2], format('%d-0', seq), op, answer)
      --#end
      --#if !PER_ENTRY
      add[c + 1], add[c + 2] = op, answer
      --#end
      --#if CHAIN
      c = #links
      links[c + 1], links[c + 2] = digest, answer
      --#end
      --#if CHAIN_EACH
      t[5] = sha1hex(t[5] .. digest .. answer):sub(1, 16)
      --#end
    end
  end
  out[n - 1] = answer
end

local m, c = { 'MSET' }, 1
for p, t in pairs(parts) do
  local seq, add = t[3], t[6]
  --#if !PER_ENTRY
  if add[4] then
    add[3] = format('%d-0', seq)
    call(_G.unpack(add))
  end
  --#end
  --#if CHAIN
  t[5] = sha1hex(table.concat(t[7])):sub(1, 16)
  --#end
  v[p] = pack('<ddddc16', t[1], t[2], seq, now, t[5])
end
--#if BUCKET
for _, list in pairs(held_in) do
  if list[3] then call(_G.unpack(list)) end
end
--#end
for k in pairs(changed) do
  m[c + 1], m[c + 2] = KEYS[k], v[k]
  c = c + 2
end
if c > 1 then call(_G.unpack(m)) end
return out
