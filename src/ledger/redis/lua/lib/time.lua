-- Grants start and end, and holds end while grants are ending: `domain/engine/due.rs`, line by line.

local function start(p, a, g, tail)
  g[G.state] = S.active
  a[A.granted], a[A.bound] = a[A.granted] + g[G.amount], a[A.bound] + g[G.amount]
  entry(p, a, E.grant, g[G.amount], 0, 0, told_of(tail, g[G.id]))
  deal(a)
end

-- What is neither spent nor held goes; what is held stays until its holds end.
local function expire_grant(p, a, index, tail)
  local g, kept = grants[index], held_on(a, index)
  g[G.state], g[G.guarded], g[G.ended] = S.ending, a[A.held], a[A.entries]
  lose(p, a, g, kept, tail)
end

-- Starts and expires what is due, in the order of time, and deals out spending.
local function apply(p, a, tail)
  book(a)
  deal(a)
  local index = first_due(p[P.now])
  while index do
    if grants[index][G.state] == S.pending then
      start(p, a, grants[index], tail)
    else
      expire_grant(p, a, index, tail)
    end
    index = first_due(p[P.now])
  end
  refresh(a)
end

-- The same, only if something is due, or `anyway`.
local function due(p, a, tail, anyway)
  book(a)
  if anyway or p[P.now] >= a[A.next_due] then
    apply(p, a, tail)
  end
end

-- The ending grants: the earlier end, which is under fewer holds, first.
local function ending_grants()
  local ending = {}
  for i, g in ipairs(grants) do
    if g[G.state] == S.ending then
      ending[#ending + 1] = { g, i }
    end
  end
  table.sort(ending, function(x, y)
    local a, b = x[1][G.guarded], y[1][G.guarded]
    return a < b or a == b and x[2] < y[2]
  end)
  return ending
end

-- An open hold of `freed` ended with `charge`: the ending grants it was under pay first, and lose what no other hold covers.
local function hold_ended(p, a, h, freed, charge, tail)
  local order, left, before = ending_grants(), charge, 0
  for _, item in ipairs(order) do
    local g = item[1]
    if h[H.number] <= g[G.ended] then
      left = left - draw(g, left)
      g[G.guarded] = g[G.guarded] - freed
    end
  end
  a[A.dealt] = bounded(a[A.dealt] + (charge - left))
  deal(a)
  for _, item in ipairs(order) do
    local g = item[1]
    lose(p, a, g, g[G.guarded] - before, tail)
    before = before + remaining(g)
  end
  refresh(a)
end

-- A hold was extended: the ending grants that it was under stay under it.
local function hold_extended(a, h, added)
  for _, g in ipairs(grants) do
    if g[G.state] == S.ending and h[H.number] <= g[G.ended] then
      g[G.guarded] = g[G.guarded] + added
    end
  end
end

-- The day of the account's last charge is over: its sum goes to the days kept for ever.
local function roll(p, a)
  date(p[P.now])
  if a[A.day] ~= today and (a[A.day_count] > 0 or a[A.day_charged] ~= 0) then
    later(p, 'hash', 'HSET', days, string.format('%d', a[A.day]), pack(F.day, a[A.day_count], a[A.day_charged]))
    a[A.day_count], a[A.day_charged], changed[2] = 0, 0, 1
  end
end
