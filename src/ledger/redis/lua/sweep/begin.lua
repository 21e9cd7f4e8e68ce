-- Begins a pass over the holds opened since the last pass, if one of them may have run out; and tells how far the sweep has come.
-- The partition's `soon` is a time before which none of those runs out; while a pass goes on, the record of the sweep keeps it, so that another
-- proxy goes on with it. Holds that a pass finds open wait, by their end, in the list of holds to visit.
-- KEYS: partition, record of the sweep, holds to visit. Replies the record of the sweep, then holds whose time to be visited has come.
local examined, target, soon, forgotten = 0, 0, M.max, 0
local stored = call('GET', KEYS[2])
if stored then
  examined, target, soon, forgotten = unpack(F.swept, stored)
end
local stamp, seq, time, opened_soon, chain = unpack(F.part, partition)
local at = unpack(F.now, now)
if soon == M.max and opened_soon <= at then
  target, soon = seq, opened_soon
  call('MSET', KEYS[1], pack(F.part, stamp, seq, time, M.max, chain), KEYS[2], pack(F.swept, examined, target, soon, forgotten))
end
local found = { now, pack(F.swept, examined, target, soon, forgotten) }
for i, member in ipairs(call('ZRANGEBYSCORE', KEYS[3], '-inf', string.format('%d', at), 'LIMIT', 0, 100)) do
  found[i + 2] = member
end
return found
