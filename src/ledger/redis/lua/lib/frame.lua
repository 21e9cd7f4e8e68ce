-- The frame of every script that changes something: reads all records that the operations need in one call, and keeps them decoded while the
-- script runs. Nothing is written before everything is decided (write.lua), so an operation that fails leaves nothing behind.
--
-- KEYS: the partitions' records, then accounts, holds, gauges, grants (all strings, read together), then the partitions' journals, then hashes.
-- ARGV: the head, then two for each operation: its numbers, and what the journal says of it (account, subject, detail).
-- Replies one string for each operation; its first byte says what it is: an entry's kind (then it is that line of the journal), or an answer (R).
local call, try, pack, unpack, list = redis.call, redis.pcall, struct.pack, struct.unpack, unpack
local floor, sub, byte = math.floor, string.sub, string.byte
local stamp, partitions, records = unpack(F.head, ARGV[1])
local values = call('MGET', list(KEYS, 1, records))
local parts, accounts, gauges, changed = {}, {}, {}, {}

-- A partition's record with the time; where it is not as it was left, with the answer to all that concerns it.
local function part(i)
  local stored, bad = values[i], false
  if not stored or #stored ~= L.part then
    bad, stored = R.lost, F.no_part
  end
  local at, seq, time, soon, chain = unpack(F.part, stored)
  if not bad and at ~= stamp then
    bad = R.stamp
  end
  local p = { at, seq, time, soon, chain, clock > time and clock or time, bad, false, false }
  parts[i] = p
  return p
end

-- An account's record, or nothing and the answer why. Whether one that is not there was ever made tells the record of its grants, which only the scripts
-- about one account have.
local function account(i)
  local stored = values[i]
  if not stored then
    if call('TYPE', KEYS[i]).ok ~= 'none' then
      return nil, R.damaged .. 'the account is of another type'
    elseif #KEYS == records + partitions then
      return nil, R.full
    elseif values[records] then
      return nil, R.damaged .. 'the account is missing'
    end
    return nil, R.unknown_account
  end
  if #stored ~= L.account then
    return nil, R.damaged .. 'the account has another length'
  end
  local a = { unpack(F.account, stored) }
  if a[A.held] < 0 or a[A.held] > M.max or a[A.spent] > M.max or a[A.next_due] > M.max or a[A.bound] > M.max or a[A.bound] < -M.max then
    return nil, R.damaged .. 'a number of the account is out of range'
  end
  accounts[i] = a
  return a
end

-- Partition and account of an operation, or also the answer why not. `seen` is the last entry its sender knows of.
local function enter(pi, ai, seen)
  local p = parts[pi] or part(pi)
  if p[P.bad] then
    return p, nil, p[P.bad]
  end
  if seen > p[P.seq] then
    return p, nil, R.went_back
  end
  local a, answer = accounts[ai], nil
  if not a then
    a, answer = account(ai)
  end
  return p, a, answer
end

-- Kept within what is exact, as the engine keeps it.
local function bounded(amount)
  return amount < M.max and amount or M.max
end

local function available(a)
  return a[A.bound] - a[A.held] - a[A.spent]
end

-- Writes a line of the journal, with the balance as it is now. `link` is the seq of the line before it that tells of the same hold.
local function entry(p, a, kind, amount, held, link, tail)
  local seq, number, adds = p[P.seq] + 1, a[A.entries] + 1, p[P.adds]
  if not adds then
    adds = { 'XADD', '', '', 'h', p[P.chain] }
    p[P.adds] = adds
  end
  local n = #adds
  local line = pack(F.entry, kind, seq, number, a[A.last_entry], p[P.now], amount, held, available(a), link)
  adds[n + 1], adds[n + 2], adds[n + 3], adds[n + 4] = 'e', line, 't', tail
  a[A.entries], a[A.last_entry], p[P.seq] = number, seq, seq
  return line
end

-- The answer where no line of the journal is it.
local function done(code, p, time, amount, left, expires_at)
  return pack(F.done, code, p[P.seq], time, amount, left, expires_at)
end
