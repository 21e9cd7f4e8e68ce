-- What putting a grant and adjusting by hand share: `domain/engine/grants.rs`, line by line.

-- A grant of the account by its id: one that is not over, or an ended one.
local function find(id)
  for _, g in ipairs(grants) do
    if g[G.id] == id then
      return g
    end
  end
  local stored = call('HGET', ended, id)
  if stored then
    revived[id] = true
    return grant_at(stored, 1)
  end
end

-- Puts a grant among those that are not over, at its place in burn order.
local function insert(grant)
  for i, g in ipairs(grants) do
    if g[G.id] == grant[G.id] then
      table.remove(grants, i)
      break
    end
  end
  grants[#grants + 1] = grant
  table.sort(grants, burns_before)
end

-- Why the account cannot have one more grant of this amount.
local function no_room(a, amount)
  local live, promised = 0, 0
  for _, g in ipairs(grants) do
    live = g[G.state] ~= S.ended and live + 1 or live
    promised = g[G.state] == S.pending and promised + g[G.amount] or promised
  end
  if live >= M.grants_max then
    return R.grants_out_of_range
  end
  return a[A.granted] + a[A.taken] + promised + amount > M.max and R.total_out_of_range or nil
end

-- Counts what a void or an adjustment took below zero.
local function clawed_back(a, before)
  local left = available(a)
  local taken = (left < 0 and -left or 0) - (before < 0 and -before or 0)
  if taken > 0 then
    a[A.clawback] = bounded(a[A.clawback] + taken)
  end
end

-- The answer of whatever moves no hold.
local function applied(p, a)
  return done(N.applied, p, p[P.now], 0, available(a), M.max)
end

local function replayed(p, a)
  return done(N.replayed, p, p[P.now], 0, available(a), M.max)
end
