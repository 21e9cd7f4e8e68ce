-- Applies a grant's dates: it starts if it is time, and comes back if it expired too early.
local function dated_grant(a, g, now)
  local over, voided = g[G.expires_at] <= now, g[G.voided_at] > 0
  if g[G.state] == S.pending and (over or voided) then
    end_grant(g)
  elseif g[G.state] == S.pending and g[G.effective_at] <= now then
    g[G.state] = S.active
    a[A.granted], a[A.bound] = a[A.granted] + g[G.amount], a[A.bound] + g[G.amount]
    return E.grant, g[G.amount]
  elseif (g[G.state] == S.ending or g[G.state] == S.ended) and not over and not voided then
    return E.grant, revive(a, g)
  end
  return E.grant, 0
end

local function operation(op, tail)
  local _, pi, ai, _, _, seen, at = unpack(F.place, op)
  local p, a, answer = enter(pi, ai, seen)
  if answer then
    return answer
  end
  local told, now = grant_at(op, at), p[P.now]
  apply(p, a, tail)
  local known = find(told[G.id])
  local merged = known and merge(known, told) or told
  local repeated = known and same(known, merged)
  local counts = not repeated and merged[G.voided_at] == 0 and merged[G.expires_at] > now
  local voided = known and known[G.voided_at] == 0 and merged[G.voided_at] > 0
  answer = objection(a, known, told, counts, voided)
  if answer or repeated then
    return answer or replayed(p, a)
  end
  local kind, amount
  if voided then
    kind, amount = void(a, merged)
  else
    kind, amount = dated_grant(a, merged, now)
  end
  insert(merged)
  entry(p, a, kind, amount, 0, 0, tail)
  apply(p, a, tail)
  return applied(p, a)
end
