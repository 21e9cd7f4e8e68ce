-- Shape "gathered": one MGET of every record the call touches, decisions in memory, then the writes: one XADD per
-- operation and one MSET of every record that changed. Nothing is written before everything is decided.
-- KEYS: the distinct records (partitions, accounts, settings, holds), then the journals.
-- ARGV[1]: one byte how many records, then per operation its four (five with SPLIT) places in KEYS. Then the blobs.
-- Lines between #if NAME (or #if !NAME) and #end belong to a variant.
local call, pack, unpack = redis.call, struct.pack, struct.unpack
local sub, format, floor, byte = string.sub, string.format, math.floor, string.byte
local places = ARGV[1]
local records = byte(places)
local time = call('TIME')
local now = time[1] * 1000000 + time[2]
local day = floor(now / 86400000000)
local z = day + 719468
local era = floor(z / 146097)
local doe = z - era * 146097
local yoe = floor((doe - floor(doe / 1460) + floor(doe / 36524) - floor(doe / 146096)) / 365)
local month = (yoe + era * 400) * 12 + floor((5 * (doe - (365 * yoe + floor(yoe / 4) - floor(yoe / 100))) + 2) / 153)
local v = call('MGET', _G.unpack(KEYS, 1, records))
local changed, adds, parts = {}, {}, {}

local function partition(p)
  local t = parts[p]
  if not t then
    if not v[p] then return nil end
    t = { unpack('<ddddc16', v[p]) }
    if now < t[4] then now = t[4] end
    parts[p] = t
  end
  return t
end

local function journal(t, j, entry)
  local seq = t[3] + 1
  t[3] = seq
  --#if CHAIN_ENTRY
  t[5] = sub(redis.sha1hex(t[5] .. entry), 1, 16)
  --#end
  --#if CHAIN_CALL
  t[#t + 1] = entry
  --#end
  adds[#adds + 1] = KEYS[records + j]
  adds[#adds + 1] = format('%d-0', seq)
  adds[#adds + 1] = entry
  return seq
end

local function admit(op, p, a, h, j, s)
  local _, g, least, most, ttl, digest = unpack('<Bddddc8', op)
  local t = partition(p)
  if not t then return 'wiped' end
  if t[2] ~= g then return 'stale' end
  if v[h] then return 'again' end
  if not v[a] then return 'no account' end
  --#if SPLIT
  local ver, held, spent, open, tat, d, day_spent, m, month_spent, over = unpack('<dddddddddd', v[a])
  local status, due, granted, expired, voided, line, rate, burst, most_open, day_max, month_max, plan
    = unpack('<dddddddddddd', v[s])
  --#end
  --#if !SPLIT
  local ver, held, spent, open, tat, d, day_spent, m, month_spent, over,
    status, due, granted, expired, voided, line, rate, burst, most_open, day_max, month_max, plan, f1, f2, f3
    = unpack('<ddddddddddddddddddddddddd', v[a])
  --#end
  if status ~= 0 then return 'paused' end
  if now >= due then return 'due' end
  if rate > 0 then
    if tat < now then tat = now end
    if tat - now > burst then return 'rate' end
    tat = tat + rate
  end
  if most_open > 0 and open >= most_open then return 'open' end
  if d ~= day then d, day_spent = day, 0 end
  if m ~= month then m, month_spent = month, 0 end
  if day_max > 0 and day_spent + held + least > day_max then return 'day' end
  if month_max > 0 and month_spent + held + least > month_max then return 'month' end
  local available = granted - expired - voided - spent - held + line
  if available < least then return 'credits' end
  local amount = most
  if amount > available then amount = available end
  ver, held, open = ver + 1, held + amount, open + 1
  v[h] = pack('<Bddddc8', 0, amount, now, now + ttl, 0, digest)
  --#if SPLIT
  v[a] = pack('<dddddddddd', ver, held, spent, open, tat, d, day_spent, m, month_spent, over)
  --#end
  --#if !SPLIT
  v[a] = pack('<ddddddddddddddddddddddddd', ver, held, spent, open, tat, d, day_spent, m, month_spent, over,
    status, due, granted, expired, voided, line, rate, burst, most_open, day_max, month_max, plan, f1, f2, f3)
  --#end
  changed[h], changed[a], changed[p] = true, true, true
  local seq = t[3]
  --#if JOURNAL_HOLD
  seq = journal(t, j, op .. pack('<dddd', now, ver, amount, available - amount))
  --#end
  return pack('<ddd', seq, amount, available - amount)
end

local function settle(op, p, a, h, j, s)
  local _, g, used = unpack('<Bdd', op)
  local t = partition(p)
  if not t then return 'wiped' end
  if t[2] ~= g then return 'stale' end
  local was = v[h]
  if not was then return 'no hold' end
  if not v[a] then return 'no account' end
  local state, amount, opened, expires, _, first = unpack('<Bddddc8', was)
  if state ~= 0 then return 'closed' end
  --#if SPLIT
  local ver, held, spent, open, tat, d, day_spent, m, month_spent, over = unpack('<dddddddddd', v[a])
  local status, due, granted, expired, voided, line = unpack('<dddddd', v[s])
  --#end
  --#if !SPLIT
  local ver, held, spent, open, tat, d, day_spent, m, month_spent, over,
    status, due, granted, expired, voided, line, rate, burst, most_open, day_max, month_max, plan, f1, f2, f3
    = unpack('<ddddddddddddddddddddddddd', v[a])
  --#end
  if now >= due then return 'due' end
  if d ~= day then d, day_spent = day, 0 end
  if m ~= month then m, month_spent = month, 0 end
  if used > amount then over = over + used - amount end
  ver, held, open, spent = ver + 1, held - amount, open - 1, spent + used
  day_spent, month_spent = day_spent + used, month_spent + used
  if held < 0 or open < 0 then return 'law' end
  v[h] = pack('<Bddddc8', 1, amount, opened, now, used, first)
  --#if SPLIT
  v[a] = pack('<dddddddddd', ver, held, spent, open, tat, d, day_spent, m, month_spent, over)
  --#end
  --#if !SPLIT
  v[a] = pack('<ddddddddddddddddddddddddd', ver, held, spent, open, tat, d, day_spent, m, month_spent, over,
    status, due, granted, expired, voided, line, rate, burst, most_open, day_max, month_max, plan, f1, f2, f3)
  --#end
  changed[h], changed[a], changed[p] = true, true, true
  local available = granted - expired - voided - spent - held + line
  local seq = journal(t, j, op .. pack('<dddd', now, ver, amount, available))
  return pack('<ddd', seq, used, available)
end

local out = {}
for n = 2, #ARGV do
  local op = ARGV[n]
  local act = byte(op) == 1 and admit or settle
  --#if SPLIT
  local p, a, s, h, j = byte(places, n * 5 - 8, n * 5 - 4)
  out[n - 1] = act(op, p, a, h, j, s)
  --#end
  --#if !SPLIT
  local p, a, h, j = byte(places, n * 4 - 6, n * 4 - 3)
  out[n - 1] = act(op, p, a, h, j)
  --#end
end
for p, t in pairs(parts) do
  --#if CHAIN_CALL
  if changed[p] then t[5] = sub(redis.sha1hex(table.concat(t, '', 5)), 1, 16) end
  --#end
  v[p] = pack('<ddddc16', t[1], t[2], t[3], now, t[5])
end
for i = 1, #adds, 3 do call('XADD', adds[i], adds[i + 1], 'e', adds[i + 2]) end
local m, c = { 'MSET' }, 1
for k in pairs(changed) do
  m[c + 1], m[c + 2] = KEYS[k], v[k]
  c = c + 2
end
if c > 1 then call(_G.unpack(m)) end
return out
