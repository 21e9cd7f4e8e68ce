-- What time does to grants, and how spending is dealt out to them: `domain/engine/due.rs`, line by line.

-- Who an operation is about, as the journal has it; with the id of a grant, what it says of that grant.
local function told_of(tail, id)
  local who = sub(tail, 1, 1 + byte(tail))
  return who .. string.char(#id) .. id
end

-- Deals up to `most` of spending to a grant; how much it took.
local function draw(g, most)
  local left = remaining(g)
  local drawn = most < left and most or left
  if drawn < 0 then
    drawn = 0
  end
  g[G.drawn] = g[G.drawn] + drawn
  if left == drawn then
    end_grant(g)
  end
  return drawn
end

-- Deals out what is not dealt yet to the active grants, in burn order. What finds no grant stays undealt.
local function deal(a)
  local undealt = a[A.spent] - a[A.dealt] + a[A.taken]
  if undealt <= 0 then
    return
  end
  local left = undealt
  for _, g in ipairs(grants) do
    if g[G.state] == S.active then
      left = left - draw(g, left)
    end
  end
  a[A.dealt] = bounded(a[A.dealt] + (undealt - left))
end

-- When something next happens to a grant by itself.
local function next_due(g)
  return g[G.state] == S.pending and g[G.effective_at] or g[G.state] == S.active and g[G.expires_at] or M.max
end

-- The grant whose start or end is due first: by time; starts before ends; then in burn order.
local function first_due(now)
  local found, at
  for i, g in ipairs(grants) do
    local t = next_due(g)
    if t <= now and t < M.max and (not found or t < at or t == at and g[G.state] == S.pending and grants[found][G.state] ~= S.pending) then
      found, at = i, t
    end
  end
  return found
end

-- Recomputes what the account's record says of its grants.
local function refresh(a)
  local at, ending = M.max, 0
  for _, g in ipairs(grants) do
    local t = next_due(g)
    at = t < at and t or at
    ending = g[G.state] == S.ending and 1 or ending
  end
  a[A.next_due], a[A.ending] = at, ending
  a[A.bound] = a[A.granted] - a[A.expired] - a[A.voided]
end

-- What of all that is held lies on an active grant, if it were spent now.
local function held_on(a, index)
  local before = 0
  for i, other in ipairs(grants) do
    if other[G.state] == S.ending or other[G.state] == S.active and i < index then
      before = before + remaining(other)
    end
  end
  return a[A.held] > before and a[A.held] - before or 0
end

-- Takes from an ending grant all but `kept`.
local function lose(p, a, g, kept, tail)
  local lost = remaining(g) - (kept > 0 and kept or 0)
  lost = lost > 0 and lost or 0
  g[G.expired] = g[G.expired] + lost
  if remaining(g) == 0 then
    end_grant(g)
  end
  if lost > 0 then
    a[A.expired], a[A.bound] = a[A.expired] + lost, a[A.bound] - lost
    entry(p, a, E.expire, lost, 0, 0, told_of(tail, g[G.id]))
  end
end
