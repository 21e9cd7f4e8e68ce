-- Shape "each": every operation reads and writes for itself.
-- KEYS per operation: partition, account, holds bucket, journal. ARGV: one blob per operation (or 9 texts with TEXT).
-- Lines between #if NAME (or #if !NAME) and #end belong to a variant.
local call, pack, unpack = redis.call, struct.pack, struct.unpack
local sub, format, floor = string.sub, string.format, math.floor
local time = call('TIME')
local now = time[1] * 1000000 + time[2]
local day = floor(now / 86400000000)
local z = day + 719468
local era = floor(z / 146097)
local doe = z - era * 146097
local yoe = floor((doe - floor(doe / 1460) + floor(doe / 36524) - floor(doe / 146096)) / 365)
local month = (yoe + era * 400) * 12 + floor((5 * (doe - (365 * yoe + floor(yoe / 4) - floor(yoe / 100))) + 2) / 153)

local function journal(pk, jk, epoch, gen, seq, last, chain, entry, ak, account, hk, id, hold)
  seq = seq + 1
  --#if CHAIN_ENTRY
  chain = sub(redis.sha1hex(chain .. entry), 1, 16)
  --#end
  call('MSET', pk, pack('<ddddc16', epoch, gen, seq, now, chain), ak, account)
  call('XADD', jk, format('%d-0', seq), 'e', entry)
end

local function admit(pk, ak, hk, jk, op)
  --#if TEXT
  local i = op
  for j = i + 1, i + 4 do
    if not string.find(ARGV[j], '^%d+$') or #ARGV[j] > 16 then return 'bad' end
  end
  local g, least, most, ttl = tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3]), tonumber(ARGV[i + 4])
  local digest, id = ARGV[i + 5], ARGV[i + 6]
  op = id .. '|' .. ARGV[i + 3] .. '|' .. digest .. '|' .. ARGV[i + 7]
  --#end
  --#if !TEXT
  local _, g, least, most, ttl, digest, id = unpack('<Bddddc8c16', op)
  --#end
  local v = call('MGET', pk, ak)
  if not v[1] then return 'wiped' end
  if not v[2] then return 'no account' end
  local epoch, gen, seq, last, chain = unpack('<ddddc16', v[1])
  if gen ~= g then return 'stale' end
  if now < last then now = last end
  local ver, held, spent, open, tat, d, day_spent, m, month_spent, over,
    status, due, granted, expired, voided, line, rate, burst, most_open, day_max, month_max, plan, f1, f2, f3
    = unpack('<ddddddddddddddddddddddddd', v[2])
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
  local hold = pack('<Bddddc8', 0, amount, now, now + ttl, 0, digest)
  if call('HSETNX', hk, id, hold) == 0 then return 'again' end
  ver, held, open = ver + 1, held + amount, open + 1
  local account = pack('<ddddddddddddddddddddddddd', ver, held, spent, open, tat, d, day_spent, m, month_spent, over,
    status, due, granted, expired, voided, line, rate, burst, most_open, day_max, month_max, plan, f1, f2, f3)
  --#if JOURNAL_HOLD
  journal(pk, jk, epoch, gen, seq, last, chain, op .. pack('<dddd', now, ver, amount, available - amount), ak, account)
  --#end
  --#if !JOURNAL_HOLD
  call('SET', ak, account)
  --#end
  return pack('<ddd', seq, amount, available - amount)
end

local function settle(pk, ak, hk, jk, op)
  --#if TEXT
  local i = op
  for j = i + 1, i + 2 do
    if not string.find(ARGV[j], '^%d+$') or #ARGV[j] > 16 then return 'bad' end
  end
  local g, used = tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])
  local digest, id = ARGV[i + 5], ARGV[i + 6]
  op = id .. '|' .. ARGV[i + 2] .. '|' .. digest .. '|' .. ARGV[i + 7]
  --#end
  --#if !TEXT
  local _, g, used, digest, id = unpack('<Bddc8c16', op)
  --#end
  local was = call('HGET', hk, id)
  if not was then return 'no hold' end
  local state, amount, opened, expires, _, first = unpack('<Bddddc8', was)
  if state ~= 0 then return 'closed' end
  local v = call('MGET', pk, ak)
  if not v[1] then return 'wiped' end
  if not v[2] then return 'no account' end
  local epoch, gen, seq, last, chain = unpack('<ddddc16', v[1])
  if gen ~= g then return 'stale' end
  if now < last then now = last end
  local ver, held, spent, open, tat, d, day_spent, m, month_spent, over,
    status, due, granted, expired, voided, line, rate, burst, most_open, day_max, month_max, plan, f1, f2, f3
    = unpack('<ddddddddddddddddddddddddd', v[2])
  if now >= due then return 'due' end
  if d ~= day then d, day_spent = day, 0 end
  if m ~= month then m, month_spent = month, 0 end
  if used > amount then over = over + used - amount end
  ver, held, open, spent = ver + 1, held - amount, open - 1, spent + used
  day_spent, month_spent = day_spent + used, month_spent + used
  if held < 0 or open < 0 then return 'law' end
  call('HSET', hk, id, pack('<Bddddc8', 1, amount, opened, now, used, first))
  local account = pack('<ddddddddddddddddddddddddd', ver, held, spent, open, tat, d, day_spent, m, month_spent, over,
    status, due, granted, expired, voided, line, rate, burst, most_open, day_max, month_max, plan, f1, f2, f3)
  local available = granted - expired - voided - spent - held + line
  journal(pk, jk, epoch, gen, seq, last, chain, op .. pack('<dddd', now, ver, amount, available), ak, account)
  return pack('<ddd', seq, used, available)
end

local out, k = {}, 0
--#if TEXT
for n = 1, #ARGV, 8 do
  local act = ARGV[n] == '1' and admit or settle
  out[#out + 1] = act(KEYS[k + 1], KEYS[k + 2], KEYS[k + 3], KEYS[k + 4], n)
  k = k + 4
end
--#end
--#if !TEXT
for n = 1, #ARGV do
  local op = ARGV[n]
  local act = string.byte(op) == 1 and admit or settle
  --#if PCALL
  local ok, answer = pcall(act, KEYS[k + 1], KEYS[k + 2], KEYS[k + 3], KEYS[k + 4], op)
  out[n] = answer
  --#end
  --#if !PCALL
  out[n] = act(KEYS[k + 1], KEYS[k + 2], KEYS[k + 3], KEYS[k + 4], op)
  --#end
  k = k + 4
end
--#end
return out
