-- Visits holds. One that is open waits for its end; one whose id need not be remembered any more is forgotten; one that ended and must be
-- remembered still is left to the pass that forgets, or, where that may have gone by, waits for its time.
-- KEYS: partition, record of the sweep, holds to visit, then the holds. ARGV[2]: F.visit; then the holds' names in the list.
-- Replies the names of those that ran out and are open. With a cursor that another proxy has moved on, nothing is done.
local mode, expected, cursor = unpack(F.visit, ARGV[2])
local examined, target, soon, forgotten = 0, 0, M.max, 0
local stored = call('GET', KEYS[2])
if stored then
  examined, target, soon, forgotten = unpack(F.swept, stored)
end
if mode == O.examine and examined ~= expected or mode == O.forget and forgotten ~= expected then
  return { now }
end

local at = unpack(F.now, now)
local waits, leaves, forgets, found = { 'ZADD', KEYS[3] }, { 'ZREM', KEYS[3] }, { 'UNLINK' }, { now }

local function wait(time, name)
  waits[#waits + 1], waits[#waits + 2] = string.format('%d', time), name
end

local holds = #KEYS > 3 and call('MGET', list(KEYS, 4)) or {}
for i = 4, #KEYS do
  local name, h = ARGV[i - 1], nil
  if holds[i - 3] and #holds[i - 3] == L.hold then
    h = { unpack(F.hold, holds[i - 3]) }
  end
  if not h then
    leaves[#leaves + 1] = name
  elseif h[H.state] == S.open then
    wait(h[H.expires_at], name)
    if h[H.expires_at] <= at then
      found[#found + 1] = name
    end
  elseif at - h[H.expires_at] > M.remembered then
    forgets[#forgets + 1], leaves[#leaves + 1] = KEYS[i], name
  elseif mode == O.forget or mode == O.revisit and at - h[H.opened_at] > M.remembered - M.minute then
    wait(h[H.expires_at] + M.remembered + 1, name)
  else
    leaves[#leaves + 1] = name
  end
end

for _, command in ipairs({ waits, leaves, forgets }) do
  if #command > 2 or command == forgets and #command > 1 then
    call(list(command))
  end
end
if mode == O.examine then
  examined, soon = cursor, cursor >= target and M.max or soon
elseif mode == O.forget then
  forgotten = cursor
end
if mode ~= O.revisit then
  call('SET', KEYS[2], pack(F.swept, examined, target, soon, forgotten))
end
return found
