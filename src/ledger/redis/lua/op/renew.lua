-- Lets an open hold live `ttl` from now, if that is longer than it would.
-- Numbers: F.renew. Answers: applied, or a refusal. No line of the journal: no credits move.
local function renew(op)
  local _, pi, ai, hi, _, seen, ttl = unpack(F.renew, op)
  local p, a, answer = enter(pi, ai, seen)
  if answer then
    return answer
  end
  local h
  h, answer = hold(hi)
  if not h then
    return answer
  elseif h[H.state] ~= S.open then
    return R.hold_ended
  end
  local at = ends(p, ttl)
  if at > h[H.expires_at] then
    h[H.expires_at] = at
    keep(hi, h, pi)
  end
  return done(N.applied, p, p[P.now], h[H.amount], available(a), h[H.expires_at])
end
