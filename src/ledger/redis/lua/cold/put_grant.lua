-- A grant looks like this: tells of a new one, or changes one. Absolute, so that saying it again changes nothing; a void is final.
-- Numbers: F.place, then the grant as it is stored. Answers: applied, replayed, or a refusal.

-- Of two tellings the newer counts, but a void is final whichever says it, and a grant that has started keeps its start.
local function merge(known, told)
  local newer = told[G.updated_at] > known[G.updated_at] and told or known
  local merged = {}
  for i = 1, G.note do
    merged[i] = known[i]
  end
  for _, field in ipairs({ G.priority, G.category, G.effective_at, G.expires_at, G.created_at, G.updated_at, G.voided_at, G.note }) do
    merged[field] = newer[field]
  end
  if has_started(known) then
    merged[G.effective_at] = known[G.effective_at]
  end
  merged[G.voided_at] = known[G.voided_at] > 0 and known[G.voided_at] or told[G.voided_at]
  return merged
end

local function same(x, y)
  for _, field in ipairs({ G.priority, G.category, G.effective_at, G.expires_at, G.created_at, G.updated_at, G.voided_at, G.note }) do
    if x[field] ~= y[field] then
      return false
    end
  end
  return true
end

-- What a void takes of a grant.
local function unspent(g)
  return is_open(g) and remaining(g) or 0
end

local function objection(a, known, told, counts, voided)
  if known and known[G.amount] ~= told[G.amount] then
    return R.id_conflict
  elseif told[G.amount] <= 0 then
    return R.amount_out_of_range
  elseif told[G.priority] > M.priority_max then
    return R.priority_out_of_range
  end
  local counted = known and (known[G.state] == S.pending or has_started(known))
  if counts and not counted then
    return no_room(a, told[G.amount])
  end
  -- Under open holds an account may owe all that a number can say already.
  return voided and available(a) - unspent(known) < -M.max and R.void_out_of_range or nil
end

-- Ends a grant early: what is unspent goes, also from under open holds.
local function void(a, g)
  local amount, before = unspent(g), available(a)
  g[G.voided] = g[G.voided] + amount
  end_grant(g)
  a[A.voided], a[A.bound] = a[A.voided] + amount, a[A.bound] - amount
  clawed_back(a, before)
  return E.void, amount
end

-- A grant's end was moved past now after it had expired here: what expired comes back.
local function revive(a, g)
  if not has_started(g) then
    g[G.state] = S.pending
    return 0
  end
  local back = g[G.expired]
  g[G.expired], g[G.guarded], g[G.ended] = 0, 0, 0
  if remaining(g) ~= 0 then
    g[G.state] = S.active
  end
  a[A.expired], a[A.bound] = a[A.expired] - back, a[A.bound] + back
  return -back
end
